package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/experiment"
)

// schedulePatience is how long the demo waits until it knows when targets are scraped.
const schedulePatience = 8 * interval

// experiment plays one on the cluster, says whether its hypothesis holds, and leaves a report.
func (c *cluster) experiment(ctx context.Context) error {
	text, err := os.ReadFile(c.chaos)
	if err != nil {
		return fmt.Errorf("read -chaos: %w", err)
	}
	e, err := experiment.Parse(c.chaos, text)
	if err != nil {
		return err
	}
	c.board.say("%s: %s\nIt begins when the cluster has been scraping for a while.\n", e.Title, e.About)
	timer := time.NewTimer(schedulePatience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	lab := experiment.Processes{Nodes: c.nodes, Ticks: func() (int, int) { return c.ticks.count(time.Now()) }, Received: c.ticks.received}
	report, err := experiment.Run(ctx, lab, e, func(what string) {
		c.board.say("%s\n", c.ticks.report(time.Now(), c.running()))
		c.board.say("%s  %s\n", time.Now().Format(time.TimeOnly), what)
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	html, err := report.Write("html")
	if err != nil {
		return err
	}
	file := filepath.Join(os.TempDir(), "ringmaster-"+strings.TrimSuffix(filepath.Base(c.chaos), filepath.Ext(c.chaos))+".html")
	if err := os.WriteFile(file, html, 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	c.board.say("\n%s\nThe report is in %s\n", report.Sentence(), file)
	if !report.Holds() {
		return errors.New("the hypothesis does not hold")
	}
	return nil
}

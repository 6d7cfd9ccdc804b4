package main

import (
	"fmt"
	"time"
)

// shape is a load: so many targets with so many series each, scraped at an interval.
type shape struct {
	Name     string
	Targets  int
	Series   int // per target, besides what a scrape adds
	Interval time.Duration
	// Configs is into how many instance configs Ringmaster divides the targets; its peers have one.
	Configs int
	// Churn says that a tenth of all series change a label each minute, as after a rollout.
	Churn bool
	// Alone says that peers have nothing to compare with.
	Alone bool
}

// shapes are those of real users: few big exporters, one giant, many small ones, many tenants, many
// rollouts.
var shapes = []shape{
	{Name: "fat", Targets: 20, Series: 5000, Interval: 2 * time.Second, Configs: 1},
	{Name: "huge", Targets: 1, Series: 100_000, Interval: 10 * time.Second, Configs: 1},
	{Name: "thin", Targets: 2000, Series: 50, Interval: 5 * time.Second, Configs: 1},
	{Name: "many", Targets: 1000, Series: 100, Interval: 10 * time.Second, Configs: 1000},
	{Name: "churn", Targets: 20, Series: 1000, Interval: 5 * time.Second, Configs: 1, Churn: true},
	{Name: "instances", Targets: 10_000, Series: 100, Interval: 15 * time.Second, Configs: 10_000, Alone: true},
}

func (s shape) String() string {
	text := fmt.Sprintf("%d × %d @%s", s.Targets, s.Series, s.Interval)
	if s.Configs > 1 {
		text += fmt.Sprintf(", %d configs", s.Configs)
	}
	if s.Churn {
		text += ", a tenth of the series changes each minute"
	}
	return text
}

// address is where target i listens: one loopback address for each, as for hosts of their own.
func (s shape) address(i, port int) string {
	return fmt.Sprintf("127.%d.%d.%d:%d", 10+i/62_500, i/250%250, 1+i%250, port)
}

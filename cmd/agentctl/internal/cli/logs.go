package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/walstats"
)

const logArgument = `
DIR is the directory of one config's log below wal_directory. It is only read, so the agent may run meanwhile.`

// logCommands look at logs on the disk.
func logCommands(p Process) []*cobra.Command {
	return []*cobra.Command{walStatsCommand(p), targetStatsCommand(p), sampleStatsCommand(p)}
}

// reading is a command that reads a log.
func reading(p Process, cmd *cobra.Command, check func() error, value func(*walstats.Log) any, table func(*walstats.Log) error) *cobra.Command {
	var output string
	cmd.Long = cmd.Short + ".\n" + logArgument
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		if err := check(); err != nil {
			return err
		}
		log, err := walstats.Collect(args[0])
		if err != nil {
			return err
		}
		if output == asTable {
			return table(log)
		}
		return printValue(p.Out, output, value(log))
	}
	addOutputFlag(cmd, &output)
	return cmd
}

func nothingToCheck() error { return nil }

// logSummary is wal-stats for programs.
type logSummary struct {
	walstats.Range
	Series         int               `json:"series"`
	HashCollisions int               `json:"hash_collisions"`
	InvalidRefs    uint64            `json:"invalid_refs"`
	FirstSegment   uint64            `json:"first_segment"`
	LatestSegment  uint64            `json:"latest_segment"`
	Segments       int               `json:"segments"`
	Bytes          int64             `json:"bytes"`
	Targets        []walstats.Target `json:"targets"`
	Endpoints      []walstats.Cursor `json:"endpoints"`
}

func walStatsCommand(p Process) *cobra.Command {
	return reading(p, &cobra.Command{
		Use: "wal-stats [flags] DIR", Short: "Count the series and samples of a log, by target, and what its endpoints have not sent yet",
		Example: "  agentctl wal-stats data-agent/api",
	}, nothingToCheck, func(l *walstats.Log) any {
		return logSummary{l.Range, len(l.Series), l.Collisions, l.Lost, l.First, l.Last, l.Segments, l.Bytes, l.Targets(), l.Cursors}
	}, func(l *walstats.Log) error {
		fmt.Fprintf(p.Out, "Oldest Sample:      %s\nNewest Sample:      %s\n", instant(l.From), instant(l.To))
		fmt.Fprintf(p.Out, "Total Series:       %d\nTotal Samples:      %d\n", len(l.Series), l.Samples)
		fmt.Fprintf(p.Out, "Hash Collisions:    %d\nInvalid Refs:       %d\n", l.Collisions, l.Lost)
		fmt.Fprintf(p.Out, "Checkpoint Segment: none\nFirst Segment:      %d\nLatest Segment:     %d\n", l.First, l.Last)
		fmt.Fprintf(p.Out, "Bytes:              %d\n", l.Bytes)
		rows := [][]string{}
		for _, t := range l.Targets() {
			rows = append(rows, []string{t.Job, t.Instance, strconv.Itoa(t.Series), strconv.FormatUint(t.Samples, 10)})
		}
		fmt.Fprint(p.Out, "\nPer-target stats:\n")
		if err := writeTable(p.Out, false, []string{"JOB", "INSTANCE", "SERIES", "SAMPLES"}, rows); err != nil || len(l.Cursors) == 0 {
			return err
		}
		rows = rows[:0]
		for _, c := range l.Cursors {
			rows = append(rows, []string{c.ID, strconv.FormatUint(c.Segment, 10), strconv.FormatUint(c.Pending, 10)})
		}
		fmt.Fprint(p.Out, "\nPer-endpoint stats:\n")
		return writeTable(p.Out, false, []string{"ENDPOINT", "SEGMENT", "PENDING"}, rows)
	})
}

func targetStatsCommand(p Process) *cobra.Command {
	var job, instance string
	cmd := reading(p, &cobra.Command{
		Use: "target-stats [flags] DIR", Short: "Count the series of one target in a log, by metric",
		Example: "  agentctl target-stats -j node -i 10.0.0.7:9100 data-agent/api",
	}, func() error {
		if job == "" || instance == "" {
			return usageError{fmt.Errorf("say which target: --job and --instance are needed")}
		}
		return nil
	}, func(l *walstats.Log) any { return l.Metrics(job, instance) }, func(l *walstats.Log) error {
		rows := [][]string{}
		for _, m := range l.Metrics(job, instance) {
			rows = append(rows, []string{m.Metric, strconv.Itoa(m.Series)})
		}
		if len(rows) == 0 {
			fmt.Fprintf(p.Out, "The log has no series of job %q and instance %q.\n", job, instance)
			return nil
		}
		return writeTable(p.Out, false, []string{"METRIC", "SERIES"}, rows)
	})
	cmd.Flags().StringVarP(&job, "job", "j", "", "the target's label job")
	cmd.Flags().StringVarP(&instance, "instance", "i", "", "the target's label instance")
	return cmd
}

func sampleStatsCommand(p Process) *cobra.Command {
	var selector string
	var matchers []*labels.Matcher
	cmd := reading(p, &cobra.Command{
		Use: "sample-stats [flags] DIR", Short: "Count the samples of each series in a log that matches a selector",
		Example: "  agentctl sample-stats -s 'up{job=\"node\"}' data-agent/api",
	}, func() (err error) {
		if matchers, err = parseSelector(selector); err != nil {
			return usageError{fmt.Errorf("--selector %s: %w", selector, err)}
		}
		return nil
	}, func(l *walstats.Log) any { return l.Matching(matchers) }, func(l *walstats.Log) error {
		found := l.Matching(matchers)
		if len(found) == 0 {
			fmt.Fprintln(p.Out, "The log has no such series.")
		}
		for _, s := range found {
			fmt.Fprintf(p.Out, "%s\n  Oldest Sample:      %s\n  Newest Sample:      %s\n  Total Samples:      %d\n",
				s.Labels, instant(s.From), instant(s.To), s.Samples)
		}
		return nil
	})
	cmd.Flags().StringVarP(&selector, "selector", "s", "{}", "selector of series, as in PromQL")
	return cmd
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.Format("2006-01-02 15:04:05.999 -0700 MST")
}

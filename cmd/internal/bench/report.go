package main

import (
	"fmt"
	"io"
	"slices"
)

// report collects the figures of all rounds.
type report struct {
	rounds int
	rows   []row
}

// row is one program under one shape.
type row struct {
	shape shape
	peer  string
	runs  []figures
}

func (r *report) add(s shape, peer string, f figures) {
	if found := r.find(s.Name, peer); found != nil {
		found.runs = append(found.runs, f)
		return
	}
	r.rows = append(r.rows, row{shape: s, peer: peer, runs: []figures{f}})
}

func (r *report) find(shape, peer string) *row {
	for i := range r.rows {
		if r.rows[i].shape.Name == shape && r.rows[i].peer == peer {
			return &r.rows[i]
		}
	}
	return nil
}

// median of one figure over the rounds.
func (w *row) median(get func(figures) float64) float64 {
	values := make([]float64, len(w.runs))
	for i, f := range w.runs {
		values[i] = get(f)
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// print writes a Markdown table. A ratio is to Prometheus under the same shape.
func (r *report) print(w io.Writer) error {
	text := "| Load | Agent | CPU-s per 10⁶ samples | ratio | RSS MB (peak) | ratio | wire B/sample | disk B/sample | goroutines | start s | lag p99 s |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n"
	for i := range r.rows {
		row := &r.rows[i]
		cpu, rss := row.median(func(f figures) float64 { return f.CPU }), row.median(func(f figures) float64 { return f.RSS })
		cpuRatio, rssRatio := "–", "–"
		if p := r.find(row.shape.Name, prometheus); p != nil {
			cpuRatio = fmt.Sprintf("%.2f", cpu/p.median(func(f figures) float64 { return f.CPU }))
			rssRatio = fmt.Sprintf("%.2f", rss/p.median(func(f figures) float64 { return f.RSS }))
		}
		text += fmt.Sprintf("| %s: %s | %s | %.2f | %s | %.0f (%.0f) | %s | %.1f | %.1f | %.0f | %.1f | %.2f |\n",
			row.shape.Name, row.shape, row.peer, cpu, cpuRatio,
			rss, row.median(func(f figures) float64 { return f.Peak }), rssRatio,
			row.median(func(f figures) float64 { return f.Wire }), row.median(func(f figures) float64 { return f.Disk }),
			row.median(func(f figures) float64 { return f.Goroutines }), row.median(func(f figures) float64 { return f.Start }),
			row.median(func(f figures) float64 { return f.LagP99 }))
	}
	_, err := fmt.Fprintf(w, "%s\nMedians of %d rounds. Ratios are to Prometheus in agent mode.\n", text, r.rounds)
	return err
}

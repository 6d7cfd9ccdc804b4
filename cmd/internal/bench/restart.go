package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/internal/loopback"
	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// restart measures what a restart with a long backlog costs. An agent scrapes the shape fat and is
// killed while its receiver refuses everything. The log that it leaves is lengthened with samples of
// the same series, because scraping them would take an hour. Then the agent starts again.
type restart struct {
	plan
	bytes int64
	out   io.Writer
}

// restarted is what was measured.
type restarted struct {
	unsent       uint64
	bytes        int64
	firstScrape  time.Duration
	drained      time.Duration
	received     uint64  // until it was drained
	peak, steady float64 // MB
	live         float64 // samples per second before
}

func (r restart) measure(ctx context.Context, program string) (err error) {
	s, err := shapeByName("fat")
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	sink, stopFields, err := startFields(s)
	if err != nil {
		return err
	}
	defer stopFields()
	address, err := loopback.FreeAddress()
	if err != nil {
		return err
	}
	start := func() (*process, error) {
		command, err := ringmasterCommand(program, directory, address, sink, s)
		if err != nil {
			return nil, err
		}
		return startProcess(command, filepath.Join(directory, "log"))
	}
	agent, err := start()
	if err != nil {
		return err
	}
	live, err := r.before(ctx, agent, sink, s)
	if err != nil {
		return err
	}
	unsent, err := lengthen(filepath.Join(directory, "wal"), r.bytes)
	if err != nil {
		return err
	}
	f := restarted{live: live, unsent: unsent}
	if f.bytes, err = size(filepath.Join(directory, "wal")); err != nil {
		return err
	}
	if agent, err = start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.stop()) }()
	if err := r.after(ctx, &f, agent, sink, address); err != nil {
		return fmt.Errorf("%w\n%s", err, agent.lastLog())
	}
	return f.print(r.out)
}

// before runs the agent until its rate is known and something waits for the receiver, and kills it.
func (r restart) before(ctx context.Context, agent *process, sink string, s shape) (live float64, err error) {
	defer func() {
		_ = agent.command.Process.Kill()
		<-agent.exited
	}()
	if _, err := awaitTargets(ctx, sink, s, agent); err != nil {
		return 0, err
	}
	if err := sleep(ctx, r.warm); err != nil {
		return 0, err
	}
	if _, err := reset(ctx, sink); err != nil {
		return 0, err
	}
	if err := sleep(ctx, r.warm); err != nil {
		return 0, err
	}
	counts, err := reset(ctx, sink)
	if err != nil {
		return 0, err
	}
	if err := tell(ctx, sink, "refuse"); err != nil {
		return 0, err
	}
	return float64(counts.Samples) / r.warm.Seconds(), sleep(ctx, 5*s.Interval)
}

// after watches the agent until what was unsent is sent, and for a while after it. A heap profile is
// of the middle.
func (r restart) after(ctx context.Context, f *restarted, agent *process, sink, address string) error {
	if err := tell(ctx, sink, "take"); err != nil {
		return err
	}
	began := time.Now()
	if _, err := reset(ctx, sink); err != nil {
		return err
	}
	for f.received < f.unsent {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		select {
		case <-agent.exited:
			return fmt.Errorf("program ended: %w", agent.err)
		default:
		}
		counts, err := reset(ctx, sink)
		if err != nil {
			return err
		}
		if f.firstScrape == 0 && !counts.Scraped.IsZero() {
			f.firstScrape = counts.Scraped.Sub(began)
		}
		half := f.unsent / 2
		if f.received < half && f.received+counts.Samples >= half && r.profile != "" {
			r.save(ctx, address, "heap", "restart.heap")
		}
		f.received += counts.Samples
	}
	f.drained = time.Since(began)
	var err error
	if _, f.peak, err = agent.memory(); err != nil {
		return err
	}
	if err := sleep(ctx, r.measured); err != nil {
		return err
	}
	f.steady, _, err = agent.memory()
	return err
}

func (f restarted) print(out io.Writer) error {
	rate := float64(f.received) / f.drained.Seconds()
	_, err := fmt.Fprintf(out, `unsent at the start      %.0f MB, %d samples
first scrape             %.2f s after the start
drained                  in %.0f s, %.0f samples/s: %.1f times the live rate of %.0f
memory while it drained  %.0f MB at most
memory afterwards        %.0f MB; the difference is %.0f MB
`, float64(f.bytes)/(1<<20), f.unsent, f.firstScrape.Seconds(),
		f.drained.Seconds(), rate, rate/f.live, f.live,
		f.peak, f.steady, f.peak-f.steady)
	return err
}

// tell sets whether a sink takes requests.
func tell(ctx context.Context, sink, what string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+sink+"/"+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// lengthen commits samples of all series of the only log below a directory until it has so many
// bytes. It returns how many samples are unsent.
func lengthen(directory string, bytes int64) (unsent uint64, err error) {
	found, err := filepath.Glob(filepath.Join(directory, "*", "*.seg"))
	if err != nil || len(found) == 0 {
		return 0, errors.Join(err, fmt.Errorf("no log below %s", directory))
	}
	l, err := wal.Open(filepath.Dir(found[0]), wal.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	known := collector{book: l.Book()}
	reader := l.NewReader(l.Begin())
	for {
		if _, err := reader.Next(&known); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
	}
	reader.Close()
	// The agent's own scrapes go on behind these.
	at := time.Now().UnixMilli()
	refs := make([]storage.SeriesRef, len(known.series))
	for n := int64(1); l.Stats().Bytes < bytes; n++ {
		a := l.AppenderV2(context.Background())
		for i, ls := range known.series {
			ref, err := a.Append(refs[i], ls, 0, at+n, value(i, n), nil, nil, storage.AOptions{})
			if err != nil {
				return 0, errors.Join(err, a.Rollback())
			}
			refs[i] = ref
		}
		if err := a.Commit(); err != nil {
			return 0, err
		}
	}
	for _, c := range l.Cursors() {
		unsent = max(unsent, l.End().Seq-c.Seq)
	}
	return unsent, nil
}

// value is that of series i at a time: as in a shape, a third of them stand still.
func value(i int, n int64) float64 {
	switch i % 3 {
	case 0:
		return float64(i)
	case 1:
		return float64(n * int64(i%97+1))
	}
	return float64((n*7919+int64(i)*104_729)%1_000_003) / 1000
}

// collector notes the series of a log.
type collector struct {
	book    *series.Book
	seen    map[series.Ref]bool
	series  []labels.Labels
	scratch labels.ScratchBuilder
}

func (c *collector) Record(uint64) {}

func (c *collector) Series(ref series.Ref) {
	if c.seen == nil {
		c.seen = map[series.Ref]bool{}
	}
	if !c.seen[ref] {
		c.seen[ref] = true
		c.series = append(c.series, c.book.Labels(ref, &c.scratch).Copy())
	}
}

func (c *collector) Float(series.Ref, int64, int64, float64)                            {}
func (c *collector) Histogram(series.Ref, int64, int64, *histogram.Histogram)           {}
func (c *collector) FloatHistogram(series.Ref, int64, int64, *histogram.FloatHistogram) {}
func (c *collector) Exemplar(series.Ref, exemplar.Exemplar)                             {}
func (c *collector) Metadata(series.Ref, metadata.Metadata)                             {}

var _ wal.Visitor = (*collector)(nil)

package processtest

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// committed is everything that logs hold, by series.
type committed map[string][]sample

// sample is a sample whose value is compared bit by bit: the markers of staleness are equal to each
// other.
type sample struct {
	at   int64
	bits uint64
}

// committedSamples reads copies of all logs under a WAL directory, as a person would after a crash.
func committedSamples(t *testing.T, walDirectory string) committed {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(copied, os.DirFS(walDirectory)))
	instances, err := os.ReadDir(copied)
	require.NoError(t, err)
	found := &collector{found: committed{}}
	for _, instance := range instances {
		if instance.IsDir() {
			readLog(t, filepath.Join(copied, instance.Name()), found)
		}
	}
	return found.found
}

func readLog(t *testing.T, directory string, into *collector) {
	t.Helper()
	log, err := wal.Open(directory, wal.Options{})
	require.NoError(t, err)
	defer log.Close()
	into.book = log.Book()
	reader := log.NewReader(log.Begin())
	defer reader.Close()
	for {
		record, err := reader.Next(into)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		require.Zero(t, record.Lost)
	}
}

// collector is a wal.Visitor that keeps floats.
type collector struct {
	book  *series.Book
	found committed
}

func (c *collector) Record(uint64)     {}
func (c *collector) Series(series.Ref) {}
func (c *collector) Float(ref series.Ref, _, at int64, v float64) {
	var b labels.ScratchBuilder
	key := c.book.Labels(ref, &b).String()
	c.found[key] = append(c.found[key], sample{at, math.Float64bits(v)})
}
func (c *collector) Histogram(series.Ref, int64, int64, *histogram.Histogram)           {}
func (c *collector) FloatHistogram(series.Ref, int64, int64, *histogram.FloatHistogram) {}
func (c *collector) Exemplar(series.Ref, exemplar.Exemplar)                             {}
func (c *collector) Metadata(series.Ref, metadata.Metadata)                             {}

// missingOf counts the samples that a receiver doesn't have.
func missingOf(r *toy.Receiver, all committed) (missing int) {
	received := map[string]map[sample]bool{}
	for _, series := range r.Select(labels.EmptyLabels()) {
		set := make(map[sample]bool, len(series.Samples))
		for _, s := range series.Samples {
			set[sample{s.T, math.Float64bits(s.V)}] = true
		}
		received[series.Labels.String()] = set
	}
	for key, samples := range all {
		for _, s := range samples {
			if !received[key][s] {
				missing++
			}
		}
	}
	return missing
}

// mountTmpfs gives the test a small disk of its own.
func mountTmpfs(t *testing.T, size string) (directory string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a small disk is a tmpfs, which only root on Linux may mount: run this test as root there")
	}
	directory = t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk is a tmpfs, which can't be mounted here (%v): run this test where mounting is allowed", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(directory, syscall.MNT_DETACH)) })
	return directory
}

// fillDisk writes a file until there is no space left.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	chunk := make([]byte, 64<<10)
	for len(chunk) > 0 {
		if _, err := file.Write(chunk); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			chunk = chunk[:len(chunk)/2]
		}
	}
}

package wal_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// exporterLabels are those of a series as exporters in a cluster have it, 165 bytes or more.
func exporterLabels(target, n int) labels.Labels {
	return labels.FromStrings("__name__", fmt.Sprintf("container_network_receive_%d_total", n/10), "cluster", "production",
		"container", "server", "instance", fmt.Sprintf("10.1.%d.%d:9100", target/256, target%256), "interface", fmt.Sprintf("eth%d", n%10),
		"job", "kubernetes-pods", "namespace", "team-a", "pod", fmt.Sprintf("server-%d-x7f9q", target))
}

// TestASampleTakesAFewBytesOfDiskWhateverTheShape commits half an hour of scrapes each 15 s, of which
// a tenth are gauges with a full mantissa, four tenths idle and the others counters. Whatever is on
// the disk counts, definitions and headers too.
func TestASampleTakesAFewBytesOfDiskWhateverTheShape(t *testing.T) {
	for _, shape := range []struct{ logs, targets, series int }{
		{1, 20, 5000}, {1, 500, 50}, {10, 1, 100},
	} {
		t.Run(fmt.Sprintf("%d logs of %d targets of %d series", shape.logs, shape.targets, shape.series), func(t *testing.T) {
			syncer := wal.NewSyncer(0)
			defer syncer.Close()
			parent := t.TempDir()
			samples, written := uint64(0), uint64(0)
			for i := range shape.logs {
				l := openLog(t, filepath.Join(parent, fmt.Sprint(i)), wal.Options{Syncer: syncer, Sync: wal.SyncNever})
				for target := range shape.targets {
					scrapeFor(t, l, target, shape.series, 0)
				}
				for scrape := 1; scrape < 120 && l.Stats().SamplesAppended < 3_000_000; scrape++ {
					for target := range shape.targets {
						scrapeFor(t, l, target, shape.series, scrape)
					}
				}
				s := l.Stats()
				samples, written = samples+s.SamplesAppended, written+s.BytesWritten
				require.NoError(t, l.Close())
			}
			perSample := float64(written) / float64(samples)
			t.Logf("%.2f bytes per sample", perSample)
			require.LessOrEqual(t, perSample, 8.0)
		})
	}
}

// TestASegmentHoldsManySamplesForEachDefinition: labels that compress well take few bytes, but each
// is written, read and looked up in the book again.
func TestASegmentHoldsManySamplesForEachDefinition(t *testing.T) {
	const targets, series = 10, 600
	l := openLog(t, t.TempDir(), wal.Options{Sync: wal.SyncNever})
	defer func() { require.NoError(t, l.Close()) }()
	scrapes := 0
	for ; l.End().Segment < 2; scrapes++ {
		require.Less(t, scrapes, 500, "a segment ends")
		for target := range targets {
			scrapeFor(t, l, target, series, scrapes)
		}
	}
	require.Equal(t, uint64(2), l.End().Segment)
	t.Logf("%d scrapes", scrapes)
	require.Greater(t, scrapes, 80)
}

func scrapeFor(t *testing.T, l *wal.Log, target, n, scrape int) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(target), uint64(scrape)))
	app := l.AppenderV2(t.Context())
	for i := range n {
		v := float64(i * 1000)
		switch i % 10 {
		case 0:
			v = random.Float64()
		case 1, 2, 3, 4:
		default:
			v += float64(scrape * (i%1000 + 1))
		}
		ls, ref := labels.EmptyLabels(), storage.SeriesRef(target*n+i+1)
		if scrape == 0 {
			ls, ref = exporterLabels(target, i), 0
		}
		if _, err := app.Append(ref, ls, 0, int64(scrape)*15_000+int64(target), v, nil, nil, noOptions); err != nil {
			t.Fatal(err)
		}
	}
	require.NoError(t, app.Commit())
}

package wal_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

func TestAppendersAReaderAndPruningShareALog(t *testing.T) {
	s := wal.NewSyncer(time.Millisecond)
	defer s.Close()
	l, err := wal.Open(logDir(t), wal.Options{Syncer: s, SegmentBytes: 2000})
	require.NoError(t, err)
	require.NoError(t, l.SaveCursor("e", l.Begin()))

	const appenders, commits, perCommit = 2, 150, 20
	var writers, others sync.WaitGroup
	for a := range appenders {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for ts := range int64(commits) {
				app := l.AppenderV2(t.Context())
				for i := range perCommit {
					if _, err := app.Append(0, metric(a*perCommit+i), 0, ts, float64(ts), nil, nil, noOptions); err != nil {
						t.Error(err)
					}
				}
				if err := app.Commit(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	done := make(chan struct{})
	others.Add(1)
	go func() {
		defer others.Done()
		for {
			select {
			case <-done:
				return
			default:
				l.Prune()
				l.Stats()
				l.Cursors()
			}
		}
	}()
	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	for got := 0; got < appenders*commits*perCommit; {
		rec, err := r.Next(v)
		if errors.Is(err, io.EOF) {
			continue
		}
		require.NoError(t, err)
		require.Zero(t, rec.Lost)
		got += rec.Samples
		require.NoError(t, l.SaveCursor("e", rec.End))
	}
	writers.Wait()
	close(done)
	others.Wait()
	r.Close()
	require.Empty(t, v.Faults)
	last := map[string]int64{}
	for _, sample := range v.Samples {
		if before, ok := last[sample.Series]; ok {
			require.Greater(t, sample.T, before)
		}
		last[sample.Series] = sample.T
	}
	require.NoError(t, l.Close())
}

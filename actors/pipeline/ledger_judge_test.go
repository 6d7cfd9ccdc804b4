package pipeline

import (
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// judge holds what the receiver has against what there was.
func (l *ledger) judge(calm time.Time) {
	if len(l.crashes) == 0 {
		require.Zero(l.t, l.receiver.Refused(), "requests with samples that are not newer than what the receiver has")
	}
	present, stored := l.history[len(l.history)-1].present, l.receiver.Stored()
	for name := range present {
		if len(stored[name].Samples) == 0 {
			l.t.Errorf("%s was never scraped", name)
		}
	}
	for name, series := range stored {
		samples := series.Samples
		for i, s := range samples {
			if i == 0 {
				if isMarker(s) {
					l.t.Errorf("%s begins with a marker", name)
				}
				continue
			}
			before := samples[i-1]
			switch {
			case isMarker(s) && isMarker(before):
				l.t.Errorf("%s has ended twice, at %s and %s", name, at(before), at(s))
			case !isMarker(s) && isMarker(before) && i > 1 && !l.wasAbsent(name, samples[i-2].T, s.T):
				l.t.Errorf("%s has a marker at %s, and went on", name, at(before))
			}
		}
		last := samples[len(samples)-1]
		switch {
		case present[name] && isMarker(last):
			l.t.Errorf("%s is there, and has ended at %s", name, at(last))
		case present[name] && time.UnixMilli(last.T).Before(calm.Add(-time.Minute)):
			l.t.Errorf("%s is there, and was last scraped at %s", name, at(last))
		case !present[name] && !isMarker(last) && !l.crashed(last.T):
			l.t.Errorf("%s has gone, and has no marker; its last sample is of %s", name, at(last))
		}
	}
}

func at(s receivertest.Sample) string { return time.UnixMilli(s.T).UTC().Format("04:05.000") }

func isMarker(s receivertest.Sample) bool { return value.IsStaleNaN(s.V) }

// crashed reports whether the node that took a sample was killed before it can have known that the
// series would end.
func (l *ledger) crashed(t int64) bool {
	for _, crash := range l.crashes {
		if since := crash.Sub(time.UnixMilli(t)); since >= -time.Second && since < time.Minute {
			return true
		}
	}
	return false
}

// wasAbsent reports whether a series was not there for a moment between two of its samples, or
// shortly before: discoveries and relabelling take effect some seconds later, and markers that are
// owed are written later too.
func (l *ledger) wasAbsent(name string, from, to int64) bool {
	begin, end := time.UnixMilli(from).Add(-40*time.Second), time.UnixMilli(to)
	for i, moment := range l.history {
		over := end
		if i+1 < len(l.history) {
			over = l.history[i+1].from
		}
		if !moment.present[name] && over.After(begin) && moment.from.Before(end) {
			return true
		}
	}
	return false
}

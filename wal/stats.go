package wal

import (
	"sync/atomic"
)

// Stats are the state of a log and what it counted since it was opened.
type Stats struct {
	// ActiveSeries is the number of series in the table.
	ActiveSeries int
	// SeriesCreated and SeriesRemoved count series that the log got to know and has forgotten since
	// it was opened.
	SeriesCreated, SeriesRemoved uint64
	// SamplesOutOfOrder were refused because a newer one of their series was there.
	SamplesOutOfOrder uint64
	// Segment is the number of the one that is written to.
	Segment uint64
	// Bytes and Segments are what is on the disk now.
	Bytes    int64
	Segments int

	// SamplesAppended, ExemplarsAppended, RecordsWritten and BytesWritten count what was committed.
	SamplesAppended, ExemplarsAppended, RecordsWritten, BytesWritten uint64
	// SamplesOvertaken were appended without error and not written, because another appender
	// committed a newer sample of the series first.
	SamplesOvertaken uint64
	// SamplesDamaged and SamplesTruncated were lost: the first as met by readers, each reader for
	// itself; the second by retention at its cap, before the slowest cursor got to them.
	SamplesDamaged, SamplesTruncated uint64
	// WriteErrors counts failed writes, syncs and removals, also those that a second attempt made
	// good. LastError is the newest of them, "" if none.
	WriteErrors uint64
	LastError   string
}

// counters are what Stats is made of.
type counters struct {
	samples, exemplars, records, bytes, over, damaged, cut, errors atomic.Uint64
	lastError                                                      atomic.Pointer[string]
}

func (c *counters) committed(samples uint32, exemplars, bytes int) {
	c.samples.Add(uint64(samples))
	c.exemplars.Add(uint64(exemplars))
	c.records.Add(1)
	c.bytes.Add(uint64(bytes))
}

func (c *counters) overtaken(n uint64) { c.over.Add(n) }
func (c *counters) truncated(n uint64) { c.cut.Add(n) }

func (c *counters) failed(err error) {
	c.errors.Add(1)
	text := err.Error()
	c.lastError.Store(&text)
}

// Stats is cheap enough for every scrape of the agent's own metrics.
func (l *Log) Stats() Stats {
	s := Stats{
		SamplesAppended:   l.counts.samples.Load(),
		ExemplarsAppended: l.counts.exemplars.Load(),
		RecordsWritten:    l.counts.records.Load(),
		BytesWritten:      l.counts.bytes.Load(),
		SamplesOvertaken:  l.counts.over.Load(),
		SamplesDamaged:    l.counts.damaged.Load(),
		SamplesTruncated:  l.counts.cut.Load(),
		WriteErrors:       l.counts.errors.Load(),
	}
	if text := l.counts.lastError.Load(); text != nil {
		s.LastError = *text
	}
	s.Bytes, s.Segments = l.size()
	s.Segment = l.End().Segment
	l.seriesMu.Lock()
	s.ActiveSeries = l.table.known
	s.SeriesCreated, s.SeriesRemoved, s.SamplesOutOfOrder = l.table.created, l.table.removed, l.table.disordered
	l.seriesMu.Unlock()
	return s
}

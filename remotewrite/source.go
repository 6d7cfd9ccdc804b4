package remotewrite

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// Position is a place between two records of a Source. The zero value is the beginning of an empty
// source.
type Position struct {
	// Segment and Offset are the source's own coordinates; an endpoint only hands them back.
	Segment uint64
	Offset  int64
	// Seq is the number of samples (floats and histograms) that were ever committed before this
	// place. The difference of two positions is the number of samples between them, whether they
	// still exist or not.
	Seq uint64
}

// Place is where an endpoint is in its log: before Position everything is settled; Progress, which
// only the endpoint understands, says what behind it is settled too, or may have reached the
// receiver.
type Place struct {
	Position
	Progress []byte
}

// Unsent is how many of the samples below end are not settled.
func (p Place) Unsent(end uint64) uint64 {
	n := end - min(p.Seq, end)
	if len(p.Progress) < 8 {
		return n
	}
	mapping := binary.LittleEndian.Uint64(p.Progress)
	return n - min(n, parseProgress(p.Progress, p.Seq, mapping).ahead)
}

// Record describes one record that a Source delivered.
type Record struct {
	// End is the position behind the record.
	End Position
	// Samples is the number of floats and histograms that were delivered.
	Samples int
	// Lost is the number of samples between the place of the read and this record that no longer exist.
	Lost LostSamples
}

// LostSamples counts samples that were committed but can't be delivered, by reason.
type LostSamples struct {
	// Damaged samples were in records that did not verify.
	Damaged uint64
	// Truncated samples were dropped by the source's cap on bytes or age.
	Truncated uint64
}

// Visitor takes the content of one record. References are those of the Source's Book. A Series call
// comes before the first sample of a series in each segment, and before the first record that is
// delivered after a Seek into it. Arguments live only for the duration of the call. Times are in
// milliseconds.
type Visitor interface {
	// Record comes before the items of a record, with the number of samples committed before its
	// first one.
	Record(first uint64)
	Series(ref series.Ref)
	// Float is a sample of a counter, gauge or any other float. startTime is 0 if unknown.
	Float(ref series.Ref, startTime, t int64, v float64)
	Histogram(ref series.Ref, startTime, t int64, h *histogram.Histogram)
	FloatHistogram(ref series.Ref, startTime, t int64, h *histogram.FloatHistogram)
	Exemplar(ref series.Ref, e exemplar.Exemplar)
	Metadata(ref series.Ref, m metadata.Metadata)
}

// Source is one endpoint's view of the instance's log. Only one goroutine at a time uses it, except
// for Pending and End, which any goroutine may call at any time: while Next runs, from within the
// log's own notification of a commit, and after a Close. A Source that is an io.Closer is closed
// when its endpoint is done with it.
type Source interface {
	// Book is the instance's book of series. What a Visitor was told of stays in it at least until
	// the next call of Next.
	Book() *series.Book
	// Next delivers the next record to v. It returns io.EOF when there is none yet; a later call
	// may find one. Any other error is a failure to read: nothing was skipped, and the call may be
	// repeated.
	Next(v Visitor) (Record, error)
	// Seek moves the place of the next read to p.
	Seek(p Position)
	// Pending is the number of samples committed after p, whether they still exist or not. It must
	// be cheap and must not wait for a lock that is held while a commit is announced.
	Pending(p Position) uint64
	// End is the place behind the newest commit. It may be called whenever Pending may.
	End() Position
	// Save makes p the place from which reading goes on after a restart, and lets the log drop what
	// lies before it. It survives a kill of the process when it returns. The progress has at most
	// maxProgress bytes.
	Save(p Place) error
}

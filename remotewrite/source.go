package remotewrite

import (
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// Position is a place between two records of a Source. The zero value is the beginning of an empty source.
type Position struct {
	// Segment and Offset are the source's own coordinates; an endpoint only hands them back.
	Segment uint64
	Offset  int64
	// Seq is the number of samples (floats and histograms) that were ever committed before this place. The
	// difference of two positions is the number of samples between them, whether they still exist or not.
	Seq uint64
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

// Visitor takes the content of one record. References are stable while the Source is open: a Series call defines
// one, and is repeated with the same labels whenever the source has to define it again. A reference that is used in a segment is
// defined in that segment, or before the first record that is delivered after a Seek into it. Arguments other than labels live only
// for the duration of the call.
type Visitor interface {
	Series(ref uint64, ls labels.Labels)
	// Float is a sample of a counter, gauge or any other float. startTime is 0 if unknown. Times are in milliseconds.
	Float(ref uint64, startTime, t int64, v float64)
	Histogram(ref uint64, startTime, t int64, h *histogram.Histogram)
	FloatHistogram(ref uint64, startTime, t int64, h *histogram.FloatHistogram)
	Exemplar(ref uint64, e exemplar.Exemplar)
	Metadata(ref uint64, m metadata.Metadata)
}

// Source is one endpoint's view of the instance's log. Only one goroutine at a time uses it, except for Pending, which any goroutine
// may call at any time: while Next runs, from within the log's own notification of a commit, and after a Close. A Source that is an
// io.Closer is closed when its endpoint is done with it.
type Source interface {
	// Next delivers the next record to v. It returns io.EOF when there is none yet; a later call may find one. Any other error
	// is a failure to read: nothing was skipped, and the call may be repeated.
	Next(v Visitor) (Record, error)
	// Seek moves the place of the next read to p.
	Seek(p Position)
	// Pending is the number of samples committed after p, whether they still exist or not. It must be cheap and must not wait for a
	// lock that is held while a commit is announced.
	Pending(p Position) uint64
	// SaveCursor makes p the place from which reading goes on after a restart, and lets the log drop what lies before it.
	// It is cheap: the log decides when to make it durable (at most a second later, and when it is closed).
	SaveCursor(p Position) error
}

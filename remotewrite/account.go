package remotewrite

// Reason says why a sample was not sent. The set is closed: it is a label of a metric.
type Reason uint8

const (
	// DroppedByRelabel: write_relabel_configs drop the series.
	DroppedByRelabel Reason = iota
	// TooOld: older than sample_age_limit.
	TooOld
	// Rejected: the receiver answered 400 or another final status.
	Rejected
	// TooLarge: the receiver answered 413 to this sample alone.
	TooLarge
	// RateLimited: the receiver answered 429 and retry_on_http_429 is false.
	RateLimited
	// Damaged: the log's record did not verify.
	Damaged
	// Truncated: the log's cap on bytes or age dropped it first.
	Truncated
	// HistogramsOff: a native histogram while send_native_histograms is false.
	HistogramsOff
	// UnsupportedHistogram: a native histogram with custom buckets, which protocol 1.0 can't carry.
	UnsupportedHistogram
	// UnknownSeries: the log delivered a sample whose series it never defined. It means a bug or a
	// damaged definition.
	UnknownSeries
	// EndpointRemoved: the remote_write block was removed before it was sent. No endpoint has it,
	// so it is counted for the process.
	EndpointRemoved

	numReasons
)

// String is the value of the metric label.
func (r Reason) String() string {
	switch r {
	case DroppedByRelabel:
		return "relabel"
	case TooOld:
		return "too_old"
	case Rejected:
		return "rejected"
	case TooLarge:
		return "too_large"
	case RateLimited:
		return "rate_limited"
	case Damaged:
		return "damaged"
	case Truncated:
		return "truncated"
	case HistogramsOff:
		return "native_histograms_off"
	case UnsupportedHistogram:
		return "unsupported_histogram"
	case UnknownSeries:
		return "unknown_series"
	case EndpointRemoved:
		return "endpoint_removed"
	}
	return "unknown"
}

// wanted reports whether the user's configuration asks for the loss.
func (r Reason) wanted() bool { return r == DroppedByRelabel || r == TooOld || r == HistogramsOff }

// failed reports whether the receiver refused it, which Prometheus counts as failed, not as dropped.
func (r Reason) failed() bool { return r == Rejected || r == TooLarge || r == RateLimited }

// kind is what an item of a batch is.
type kind uint8

const (
	floatKind kind = iota
	histogramKind
	exemplarKind

	numKinds
)

// counts counts items by kind.
type counts [numKinds]uint64

// samples is what the log's sequence counts: floats and histograms.
func (c *counts) samples() uint64 { return c[floatKind] + c[histogramKind] }

func (c *counts) add(o *counts) {
	for k := range c {
		c[k] += o[k]
	}
}

// extent is a range of time in milliseconds; zero values are unknown.
type extent struct{ from, to int64 }

func (x *extent) include(from, to int64) {
	if from != 0 && (x.from == 0 || from < x.from) {
		x.from = from
	}
	x.to = max(x.to, to)
}

// tally is the account of one batch, of one round, or of an endpoint since its start.
type tally struct {
	sent    counts
	dropped [numReasons]counts
	// times are those of the dropped samples, by reason.
	times [numReasons]extent
	// had is the part of sent that the receiver refused because it had it already.
	had uint64
	// highestSent is the newest acknowledged timestamp in milliseconds.
	highestSent int64
}

// drop books n items of one kind with the timestamp at, 0 if that is not known.
func (t *tally) drop(r Reason, k kind, n uint64, at int64) {
	if n == 0 {
		return
	}
	t.dropped[r][k] += n
	t.times[r].include(at, at)
}

// lost is the number of samples that were dropped.
func (t *tally) lost() (n uint64) {
	for r := range t.dropped {
		n += t.dropped[r].samples()
	}
	return n
}

// takeBack undoes the loss of n samples in the log.
func (t *tally) takeBack(n uint64) {
	for _, r := range []Reason{Truncated, Damaged} {
		undone := min(n, t.dropped[r][floatKind])
		t.dropped[r][floatKind] -= undone
		n -= undone
	}
}

func (t *tally) add(o *tally) {
	t.sent.add(&o.sent)
	for r := range t.dropped {
		t.dropped[r].add(&o.dropped[r])
		t.times[r].include(o.times[r].from, o.times[r].to)
	}
	t.had += o.had
	t.highestSent = max(t.highestSent, o.highestSent)
}

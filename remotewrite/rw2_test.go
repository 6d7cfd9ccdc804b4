package remotewrite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

func version2(c *promconfig.RemoteWriteConfig) { c.ProtobufMessage = remoteapi.WriteV2MessageType }

// randomEntry is a sample of protocol 2.0: it may have a start time, custom buckets and metadata.
func randomEntry(rnd *rand.Rand, ref uint64, ls labels.Labels) memsample {
	s := randomSample(rnd, ref, ls)
	switch rnd.IntN(6) {
	case 0:
		s.e, s.h, s.fh = nil, tsdbutil.GenerateTestCustomBucketsHistogram(rnd.Int64N(100)), nil
	case 1:
		s.e, s.h, s.fh = nil, nil, tsdbutil.GenerateTestCustomBucketsFloatHistogram(rnd.Int64N(100))
	}
	if rnd.IntN(2) == 0 {
		s.st = s.t - rnd.Int64N(1<<40)
	}
	if ref%3 != 0 {
		s.m = metadata.Metadata{Type: model.MetricTypeCounter, Help: fmt.Sprint("Help of ", ref%5), Unit: []string{"", "seconds"}[ref%2]}
	}
	return s
}

// expected2 is what Prometheus' own types make of an entry, with the strings in place of references.
func expected2(s memsample, ls labels.Labels) receivertest.Series {
	out := receivertest.Series{Labels: ls, Metadata: s.m}
	if s.m.IsEmpty() {
		out.Metadata.Type = model.MetricTypeUnknown
	}
	switch {
	case s.e != nil:
		x := *s.e
		x.HasTs = x.Ts != 0
		out.Exemplars = []exemplar.Exemplar{x}
	case s.h != nil:
		h := writev2.FromIntHistogram(s.st, s.t, s.h)
		out.Samples = []receivertest.Sample{{Start: s.st, T: s.t, H: h.ToIntHistogram()}}
	case s.fh != nil:
		h := writev2.FromFloatHistogram(s.st, s.t, s.fh)
		out.Samples = []receivertest.Sample{{Start: s.st, T: s.t, FH: h.ToFloatHistogram()}}
	default:
		out.Samples = []receivertest.Sample{{Start: s.st, T: s.t, V: s.v}}
	}
	return out
}

// encoded is a batch that encoder2 wrote from random entries, and what each of its items means.
func encoded(rnd *rand.Rand, n int) (*batch, []receivertest.Series) {
	enc, b := &encoder2{}, &batch{protocol: protocol2()}
	enc.reset()
	var raw []byte
	var want []receivertest.Series
	for i := range n {
		ls := randomLabels(rnd, i)
		s := randomEntry(rnd, uint64(i), ls)
		series := sentSeries{labels: appendLabels(nil, ls)}
		if !s.m.IsEmpty() {
			series.metadata = &s.m
		}
		start := len(raw)
		switch {
		case s.e != nil:
			raw = enc.exemplar(raw, series, *s.e)
		case s.h != nil:
			raw = enc.histogram(raw, series, s.st, s.t, s.h)
		case s.fh != nil:
			raw = enc.floatHistogram(raw, series, s.st, s.t, s.fh)
		default:
			raw = enc.float(raw, series, s.st, s.t, s.v)
		}
		one := expected2(s, ls)
		for range rnd.IntN(3) {
			x := exemplar.Exemplar{Labels: randomLabels(rnd, rnd.IntN(5)), Value: rnd.NormFloat64(), Ts: 1 + rnd.Int64N(1<<40), HasTs: true}
			raw = enc.attach(raw, start, x)
			one.Exemplars = append(one.Exemplars, x)
		}
		want = append(want, one)
		b.items = append(b.items, item{t: s.t, end: uint32(len(raw)), hash: uint32(seriesKey(series.labels))})
	}
	head := enc.header(nil)
	b.seal(append(head, raw...), len(head), nil)
	return b, want
}

// decoded reads a body with Prometheus' own types.
func decoded(t *testing.T, body []byte) []receivertest.Series {
	t.Helper()
	plain, err := s2.Decode(nil, body)
	require.NoError(t, err)
	var req writev2.Request
	require.NoError(t, req.Unmarshal(plain))
	require.Equal(t, "", req.Symbols[0], "the table begins with the empty string")
	once := map[string]bool{}
	for _, s := range req.Symbols {
		require.False(t, once[s], "%q is in the table twice", s)
		once[s] = true
	}
	require.Equal(t, len(req.Symbols), len(referenced(req)), "the table has what the items need, and no more")
	all, err := receivertest.Decode2(plain)
	require.NoError(t, err)
	return all
}

// referenced are the strings that a request refers to, and the empty one.
func referenced(req writev2.Request) map[uint32]bool {
	all := map[uint32]bool{0: true}
	for _, ts := range req.Timeseries {
		refs := append([]uint32{ts.Metadata.HelpRef, ts.Metadata.UnitRef}, ts.LabelsRefs...)
		for _, x := range ts.Exemplars {
			refs = append(refs, x.LabelsRefs...)
		}
		for _, ref := range refs {
			all[ref] = true
		}
	}
	return all
}

// requireSame compares bit by bit, because NaN and negative zero have a meaning.
func requireSame(t *testing.T, want, got []receivertest.Series) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.Equal(t, text(want[i]), text(got[i]))
	}
}

func text(s receivertest.Series) string {
	out := fmt.Sprintf("%s %+v %v", s.Labels, s.Metadata, s.Exemplars)
	for _, x := range s.Samples {
		out += fmt.Sprintf("\n%d %d %x", x.Start, x.T, math.Float64bits(x.V))
		if x.H != nil {
			out += fmt.Sprintf(" %#v %x", *x.H, math.Float64bits(x.H.Sum))
		}
		if x.FH != nil {
			out += fmt.Sprintf(" %#v %x", *x.FH, math.Float64bits(x.FH.Sum))
		}
	}
	return out
}

func TestBytesOfProtocol2DecodeToWhatPrometheusSends(t *testing.T) {
	for seed := range uint64(100) {
		b, want := encoded(rand.New(rand.NewPCG(seed, 4)), 40)
		requireSame(t, want, decoded(t, b.body))
		require.NoError(t, b.uncompress())
		for i := range b.items {
			require.Equal(t, string(appendLabels(nil, want[i].Labels)), string(b.protocol.labelsOf(b, i)))
		}
	}
}

// FuzzCutProtocol2 takes any part of a batch, and checks that it has a table of its own and means
// what it meant in the whole.
func FuzzCutProtocol2(f *testing.F) {
	f.Add(uint64(1), uint64(0b1011))
	f.Fuzz(func(t *testing.T, seed, mask uint64) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		b, all := encoded(rnd, 1+rnd.IntN(60))
		var p part
		var want []receivertest.Series
		for i := range b.items {
			if mask>>i&1 != 0 {
				p, want = append(p, int32(i)), append(want, all[i])
			}
		}
		if len(want) == 0 {
			return
		}
		body, n, err := b.bodyOf(p)
		require.NoError(t, err)
		require.Equal(t, len(want), n)
		requireSame(t, want, decoded(t, body))
	})
}

func TestNegativeZeroIsKeptByProtocol2EvenWhenABatchIsCut(t *testing.T) {
	enc, b := &encoder2{}, &batch{protocol: protocol2()}
	var raw []byte
	for i := range 2 {
		raw = enc.float(raw, sentSeries{labels: appendLabels(nil, labels.FromStrings("a", fmt.Sprint(i)))}, 0, 1, math.Copysign(0, -1))
		b.items = append(b.items, item{t: 1, end: uint32(len(raw))})
	}
	head := enc.header(nil)
	b.seal(append(head, raw...), len(head), nil)
	body, _, err := b.bodyOf(part{1})
	require.NoError(t, err)
	require.True(t, math.Signbit(decoded(t, body)[0].Samples[0].V))
}

// commit2 writes scrapes of one counter, one histogram with custom buckets and one float histogram,
// with exemplars; the last one has no sample of its own.
func commit2(log *memlog, scrapes int) (samples int) {
	for n := range scrapes {
		at := epoch + int64(n)
		named := func(name string) labels.Labels { return labels.FromStrings(model.MetricNameLabel, name, "job", "test") }
		counter := metadata.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: "requests"}
		x := func(id string) *exemplar.Exemplar {
			return &exemplar.Exemplar{Labels: labels.FromStrings("trace_id", id), Value: 1, Ts: at, HasTs: true}
		}
		log.commit(
			memsample{ref: 1, labels: named("c"), st: epoch - 5, t: at, v: float64(n), m: counter},
			memsample{ref: 1, labels: named("c"), e: x(fmt.Sprint("c", n))},
			memsample{ref: 1, labels: named("c"), e: x(fmt.Sprint("d", n))},
			memsample{ref: 2, labels: named("h"), st: epoch - 6, t: at, h: tsdbutil.GenerateTestCustomBucketsHistogram(int64(n))},
			memsample{ref: 2, labels: named("h"), e: x(fmt.Sprint("h", n))},
			memsample{ref: 3, labels: named("f"), t: at, fh: tsdbutil.GenerateTestFloatHistogram(int64(n))},
			memsample{ref: 1, labels: named("c"), e: x(fmt.Sprint("z", n))},
		)
	}
	return 3 * scrapes
}

func TestProtocol2CarriesEverythingThatTheLogHas(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, most := range []int{1, 2, 1000} {
			r, url := strict(t)
			log := newMemlog()
			committed := commit2(log, 20)
			q := start(t, log, writeConfig(t, url, version2, withLanes(lanes, lanes), perSend(most)))
			requireDrained(t, q)
			requireBalance(t, q, committed)
			require.EqualValues(t, committed, q.Endpoints()[0].Sent)
			require.EqualValues(t, 80, q.Endpoints()[0].SentExemplars)
			stored := r.Stored()
			c, h, f := stored[`{__name__="c", job="test"}`], stored[`{__name__="h", job="test"}`], stored[`{__name__="f", job="test"}`]
			require.Equal(t, metadata.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: "requests"}, c.Metadata)
			require.Len(t, c.Exemplars, 60)
			require.Len(t, h.Exemplars, 20)
			for n := range 20 {
				require.Equal(t, receivertest.Sample{Start: epoch - 5, T: epoch + int64(n), V: float64(n)}, c.Samples[n])
				require.EqualValues(t, epoch-6, h.Samples[n].Start)
				require.True(t, tsdbutil.GenerateTestCustomBucketsHistogram(int64(n)).Equals(h.Samples[n].H))
				require.True(t, tsdbutil.GenerateTestFloatHistogram(int64(n)).Equals(f.Samples[n].FH))
				require.Equal(t, fmt.Sprintf(`{trace_id="h%d"}`, n), h.Exemplars[n].Labels.String())
			}
		}
	}
}

// Prometheus stores what is acceptable of a request of protocol 2.0, and refuses a series without a
// sample.
func TestAPartialWriteIsBookedAsTheReceiverSaysIt(t *testing.T) {
	r, url := strict(t)
	r.Partial, r.Poison = true, poisonOf(100)
	log := newMemlog()
	q := start(t, log, writeConfig(t, url, version2, withLanes(1, 1)))
	for n := range 5 {
		log.scrape(1000, n+1)
		requireDrained(t, q)
	}
	requireBalance(t, q, 5000)
	require.Equal(t, 4950, r.Samples())
	require.Equal(t, map[Reason]uint64{Rejected: 50}, q.Endpoints()[0].Dropped)
	require.Equal(t, 5, r.Requests(), "nothing is searched for")
}

func TestExemplarsTravelWithTheirSamplesBecausePrometheusRefusesThemAlone(t *testing.T) {
	for _, most := range []int{1, 2, 1000} {
		r, url := strict(t)
		r.Partial = true
		log := newMemlog()
		committed := commit2(log, 10)
		q := start(t, log, writeConfig(t, url, version2, perSend(most)))
		requireDrained(t, q)
		requireBalance(t, q, committed)
		require.EqualValues(t, committed, q.Endpoints()[0].Sent)
		require.EqualValues(t, 30, q.Endpoints()[0].SentExemplars, "all but those that are alone")
	}
}

// A receiver that has all of a request or nothing is searched as with protocol 1.0, in bodies that
// are cut.
func TestPoisonIsSearchedInProtocol2(t *testing.T) {
	r, url := strict(t)
	r.Poison = poisonOf(100)
	log := newMemlog()
	for n := range 20 {
		log.scrape(300, n+1)
	}
	q := start(t, log, writeConfig(t, url, version2, withLanes(1, 1)))
	requireDrained(t, q)
	requireBalance(t, q, 6000)
	require.Equal(t, 297*20, r.Samples())
	require.Equal(t, map[Reason]uint64{Rejected: 60}, q.Endpoints()[0].Dropped)
}

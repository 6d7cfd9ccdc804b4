package remotewrite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
)

// expected is what Prometheus' own queue manager sends for an entry: its populateTimeSeries, on
// prompb types.
func expected(s memsample, ls labels.Labels) prompb.TimeSeries {
	ts := prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil)}
	switch {
	case s.e != nil:
		ts.Exemplars = []prompb.Exemplar{{Labels: prompb.FromLabels(s.e.Labels, nil), Value: s.e.Value, Timestamp: s.e.Ts}}
	case s.h != nil:
		ts.Histograms = []prompb.Histogram{prompb.FromIntHistogram(s.t, s.h)}
	case s.fh != nil:
		ts.Histograms = []prompb.Histogram{prompb.FromFloatHistogram(s.t, s.fh)}
	default:
		ts.Samples = []prompb.Sample{{Value: s.v, Timestamp: s.t}}
	}
	return ts
}

func randomSample(rnd *rand.Rand, ref uint64, ls labels.Labels) memsample {
	s := memsample{ref: ref, labels: ls, t: rnd.Int64N(1<<45) - 1<<44}
	switch rnd.IntN(8) {
	case 0:
		s.e = &exemplar.Exemplar{Labels: labels.FromStrings("trace_id", fmt.Sprint(rnd.Uint64())), Value: rnd.NormFloat64(), Ts: s.t, HasTs: true}
	case 1:
		s.h = tsdbutil.GenerateTestHistogram(rnd.Int64N(1000))
		s.h.Sum, s.h.CounterResetHint = rnd.NormFloat64(), histogram.CounterResetHint(rnd.IntN(4))
		s.h.NegativeSpans[0].Offset = int32(rnd.IntN(2000) - 1000)
	case 2:
		s.fh = tsdbutil.GenerateTestFloatHistogram(rnd.Int64N(1000))
		s.fh.ZeroCount, s.fh.Schema = 0, int32(rnd.IntN(13)-4)
	case 3:
		s.fh = &histogram.FloatHistogram{}
	case 4:
		s.h = &histogram.Histogram{Sum: math.Float64frombits(0x7ff0000000000002)} // a staleness marker
	default:
		s.v = []float64{0, 1, -1, math.Inf(1), rnd.NormFloat64() * 1e9, 42}[rnd.IntN(6)]
	}
	return s
}

func randomLabels(rnd *rand.Rand, i int) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set(model.MetricNameLabel, fmt.Sprintf("metric_%d", i))
	for range rnd.IntN(12) {
		b.Set(fmt.Sprintf("l%d", rnd.IntN(20)), string(make([]byte, rnd.IntN(200))))
	}
	for _, name := range []string{"job", "cluster", "drop"} {
		if rnd.IntN(3) == 0 {
			b.Set(name, fmt.Sprint(rnd.IntN(3)))
		}
	}
	return b.Labels()
}

func relabelRules(t *testing.T) []*relabel.Config {
	rule := func(c relabel.Config) *relabel.Config {
		out := relabel.DefaultRelabelConfig
		out.SourceLabels, out.Action, out.TargetLabel, out.Replacement = c.SourceLabels, c.Action, c.TargetLabel, "$1"
		out.Regex, out.NameValidationScheme = c.Regex, model.UTF8Validation
		if out.Action == "" {
			out.Action = relabel.Replace
		}
		require.NoError(t, out.Validate(model.UTF8Validation))
		return &out
	}
	return []*relabel.Config{
		rule(relabel.Config{SourceLabels: model.LabelNames{"drop"}, Regex: relabel.MustNewRegexp("1"), Action: relabel.Drop}),
		rule(relabel.Config{SourceLabels: model.LabelNames{"cluster", "job"}, Regex: relabel.MustNewRegexp("(.*)"), TargetLabel: "where"}),
		rule(relabel.Config{Regex: relabel.MustNewRegexp("l[0-3]"), Action: relabel.LabelDrop}),
	}
}

func TestBytesDecodeToWhatPrometheusSends(t *testing.T) {
	external := labels.FromStrings("cluster", "c", "replica", "r")
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		cfg := relabelRules(t)
		var want prompb.WriteRequest
		log, r := newMemlog(), newReceiver(t)
		byRef := map[uint64]labels.Labels{}
		dropped, committed := 0, 0
		for range 20 {
			var entries []memsample
			for range rnd.IntN(30) {
				ref := uint64(rnd.IntN(40) + 1)
				if _, ok := byRef[ref]; !ok {
					byRef[ref] = randomLabels(rnd, int(ref))
				}
				s := randomSample(rnd, ref, byRef[ref])
				entries = append(entries, s)
				// The next lines are Prometheus' StoreSeries.
				b := labels.NewBuilder(s.labels)
				external.Range(func(l labels.Label) {
					if b.Get(l.Name) == "" {
						b.Set(l.Name, l.Value)
					}
				})
				if s.e == nil {
					committed++
				}
				if relabel.ProcessBuilder(b, cfg...) {
					want.Timeseries = append(want.Timeseries, expected(s, b.Labels()))
				} else if s.e == nil {
					dropped++
				}
			}
			log.commit(entries...)
		}
		q := newQueue(t)
		require.NoError(t, q.Apply([]EndpointConfig{{
			CursorID: "a", Open: log.open("a"), ExternalLabels: external,
			Config: writeConfig(t, r.url, perSend(50), withLanes(1, 1), func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = cfg }),
		}}))
		requireDrained(t, q)
		requireBalance(t, q, committed)
		require.EqualValues(t, dropped, q.Endpoints()[0].Dropped[DroppedByRelabel])
		got := prompb.WriteRequest{Timeseries: r.all}
		gotBytes, err := got.Marshal()
		require.NoError(t, err)
		wantBytes, err := want.Marshal()
		require.NoError(t, err)
		require.Equal(t, wantBytes, gotBytes, "seed %d", seed)
		q.Close()
	}
}

func TestNegativeZeroIsKept(t *testing.T) {
	var w prompb.WriteRequest
	require.NoError(t, w.Unmarshal((&encoder1{}).float(nil, sentSeries{}, 0, 1, math.Copysign(0, -1))))
	require.True(t, math.Signbit(w.Timeseries[0].Samples[0].Value))
}

func TestHistogramsThatCannotBeSentAreCounted(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	name := labels.FromStrings(model.MetricNameLabel, "s0")
	custom := tsdbutil.GenerateTestCustomBucketsHistogram(1)
	customFloat := tsdbutil.GenerateTestCustomBucketsFloatHistogram(1)
	log.commit(
		memsample{ref: 1, labels: name, t: epoch + 1, h: custom},
		memsample{ref: 1, labels: name, t: epoch + 2, fh: customFloat},
		memsample{ref: 1, labels: name, t: epoch + 3, h: tsdbutil.GenerateTestHistogram(1)},
	)
	q := newQueue(t)
	require.NoError(t, q.Apply([]EndpointConfig{
		{CursorID: "on", Open: log.open("on"), Config: writeConfig(t, r.url)},
		{CursorID: "off", Open: log.open("off"), Config: writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) { c.SendNativeHistograms = false })},
	}))
	requireDrained(t, q)
	requireBalance(t, q, 3)
	require.Equal(t, map[Reason]uint64{UnsupportedHistogram: 2}, q.Endpoints()[0].Dropped)
	require.Equal(t, map[Reason]uint64{HistogramsOff: 3}, q.Endpoints()[1].Dropped)
}

func TestExemplarsAreSentOnlyIfWanted(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	name := labels.FromStrings(model.MetricNameLabel, "s0")
	log.commit(
		memsample{ref: 1, labels: name, t: epoch + 1, v: 1},
		memsample{ref: 1, labels: name, e: &exemplar.Exemplar{Value: 1, Ts: epoch + 1}},
	)
	q := start(t, log, writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) { c.SendExemplars = false }))
	requireDrained(t, q)
	require.Zero(t, q.Endpoints()[0].SentExemplars)
	q = start(t, log, writeConfig(t, r.url))
	requireDrained(t, q)
	r.requireOnce(1, 1)
}

// FuzzCutBatches cuts a batch anywhere and checks that the parts are the whole.
func FuzzCutBatches(f *testing.F) {
	f.Add(uint64(1), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, at uint8) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		enc, b := &encoder1{}, &batch{protocol: protocol1()}
		var raw []byte
		n := 1 + rnd.IntN(60)
		for i := range n {
			raw = enc.float(raw, sentSeries{labels: appendLabels(nil, randomLabels(rnd, i))}, 0, int64(i), rnd.Float64())
			b.items = append(b.items, item{t: int64(i), end: uint32(len(raw))})
		}
		b.seal(raw, 0, nil)
		cut := int(at) % (n + 1)
		var joined []byte
		all := make(part, n)
		for i := range all {
			all[i] = int32(i)
		}
		for _, p := range []part{all[:cut], all[cut:]} {
			body, count, err := b.bodyOf(p)
			require.NoError(t, err)
			require.Equal(t, len(p), count)
			if count > 0 {
				plain, err := s2.Decode(nil, body)
				require.NoError(t, err)
				joined = append(joined, plain...)
			}
		}
		require.Equal(t, raw, joined)
	})
}

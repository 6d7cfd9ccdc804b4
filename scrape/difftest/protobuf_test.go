package difftest

import (
	"bytes"
	"math"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// delimited is the protobuf format.
func delimited(families ...*dto.MetricFamily) string {
	var b bytes.Buffer
	encoder := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			panic(err)
		}
	}
	return b.String()
}

func family(name string, kind dto.MetricType, metrics ...*dto.Metric) *dto.MetricFamily {
	return &dto.MetricFamily{Name: new(name), Help: new("Help of " + name + "."), Type: new(kind), Metric: metrics}
}

func pairs(namesAndValues ...string) []*dto.LabelPair {
	var all []*dto.LabelPair
	for i := 0; i < len(namesAndValues); i += 2 {
		all = append(all, &dto.LabelPair{Name: new(namesAndValues[i]), Value: new(namesAndValues[i+1])})
	}
	return all
}

func exemplarAt(value float64, t *timestamppb.Timestamp, labels ...string) *dto.Exemplar {
	return &dto.Exemplar{Label: pairs(labels...), Value: new(value), Timestamp: t}
}

// seconds since 2000-01-01, when virtual time begins.
func seconds(s int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 946684800 + s, Nanos: 123456789}
}

func spans(offsetsAndLengths ...int32) []*dto.BucketSpan {
	var all []*dto.BucketSpan
	for i := 0; i < len(offsetsAndLengths); i += 2 {
		all = append(all, &dto.BucketSpan{Offset: new(offsetsAndLengths[i]), Length: new(uint32(offsetsAndLengths[i+1]))})
	}
	return all
}

func classic(counts ...uint64) *dto.Histogram {
	h := &dto.Histogram{SampleCount: new(counts[len(counts)-1]), SampleSum: new(12.5), CreatedTimestamp: seconds(-600)}
	for i, c := range counts {
		bound := float64(i + 1)
		if i == len(counts)-1 {
			bound = math.Inf(1)
		}
		h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: new(c), UpperBound: new(bound)})
	}
	return h
}

// native is a histogram with integer counts.
func native() *dto.Histogram {
	return &dto.Histogram{
		SampleCount: new(uint64(20)), SampleSum: new(100.5), Schema: new(int32(3)),
		ZeroThreshold: new(1e-6), ZeroCount: new(uint64(2)),
		PositiveSpan: spans(0, 2, 3, 3), PositiveDelta: []int64{1, 2, -1, 1, 0},
		NegativeSpan: spans(-2, 2, 1, 1), NegativeDelta: []int64{2, 0, -1},
		CreatedTimestamp: seconds(-500),
	}
}

// nativeFloat is a histogram with float counts, all on one side.
func nativeFloat() *dto.Histogram {
	return &dto.Histogram{
		SampleCountFloat: new(7.5), SampleSum: new(-3.25), Schema: new(int32(-1)),
		ZeroThreshold: new(0.001), ZeroCountFloat: new(0.5),
		PositiveSpan: spans(1, 3), PositiveCount: []float64{1.5, 2.5, 3},
	}
}

func histogramFamily(name string, h *dto.Histogram, labels ...string) *dto.MetricFamily {
	return family(name, dto.MetricType_HISTOGRAM, &dto.Metric{Label: pairs(labels...), Histogram: h})
}

// wide is a native histogram with n buckets at the finest schema.
func wide(n int32) *dto.Histogram {
	h := &dto.Histogram{SampleCount: new(uint64(n)), SampleSum: new(1.0), Schema: new(int32(8)), ZeroThreshold: new(1e-6),
		PositiveSpan: spans(-n/2, n)}
	h.PositiveDelta = append(h.PositiveDelta, 1)
	for range n - 1 {
		h.PositiveDelta = append(h.PositiveDelta, 0)
	}
	return h
}

// protoBodies are in the protobuf format.
func protoBodies() []body {
	counter := family("requests_total", dto.MetricType_COUNTER,
		&dto.Metric{Label: pairs("code", "200"), Counter: &dto.Counter{Value: new(10.0), CreatedTimestamp: seconds(-1000),
			Exemplar: exemplarAt(1, seconds(-100), "trace_id", "abc")}},
		&dto.Metric{Label: pairs("code", "500"), Counter: &dto.Counter{Value: new(0.0),
			Exemplar: exemplarAt(1, nil, "trace_id", "without time")}})
	counter.Unit = new("requests")
	summary := family("rpc", dto.MetricType_SUMMARY, &dto.Metric{Summary: &dto.Summary{SampleCount: new(uint64(3)), SampleSum: new(1.5),
		CreatedTimestamp: seconds(-800),
		Quantile:         []*dto.Quantile{{Quantile: new(0.5), Value: new(1.0)}, {Quantile: new(0.99), Value: new(math.NaN())}}}})
	gauge := family("temperature", dto.MetricType_GAUGE,
		&dto.Metric{Gauge: &dto.Gauge{Value: new(math.Inf(-1))}},
		&dto.Metric{Label: pairs("x", "y"), Gauge: &dto.Gauge{Value: new(1.0)}, TimestampMs: new(int64(946684700123))})
	untyped := family("thing", dto.MetricType_UNTYPED, &dto.Metric{Untyped: &dto.Untyped{Value: new(4.0)}})

	classicExemplars := classic(1, 3, 4)
	classicExemplars.Bucket[0].Exemplar = exemplarAt(0.5, seconds(-50), "i", "0")
	classicExemplars.Bucket[2].Exemplar = exemplarAt(9, nil, "i", "2")
	both := native()
	both.Bucket = classicExemplars.Bucket
	nativeExemplars := native()
	nativeExemplars.Exemplars = []*dto.Exemplar{exemplarAt(3, seconds(-40), "i", "late"), exemplarAt(2, seconds(-60), "i", "early"),
		exemplarAt(1, nil, "i", "timeless")}
	empty := &dto.Histogram{SampleCount: new(uint64(0)), SampleSum: new(0.0), Schema: new(int32(0)), PositiveSpan: spans(0, 0)}
	staleSum := native()
	staleSum.SampleSum = new(math.Float64frombits(0x7ff0000000000002))
	badSpans := native()
	badSpans.PositiveSpan = spans(0, 200)
	badSchema := native()
	badSchema.Schema = new(int32(100))
	fineSchema := native()
	fineSchema.Schema = new(int32(12))
	gaugeHistogram := family("queue", dto.MetricType_GAUGE_HISTOGRAM, &dto.Metric{Histogram: native()}, &dto.Metric{Label: pairs("x", "1"), Histogram: classic(1, 2)})

	simple := []*dto.MetricFamily{counter, gauge, summary, untyped}
	return []body{
		{"protobuf", typeProto, delimited(simple...)},
		{"protobuf as text", typeText, delimited(simple...)},
		{"protobuf without type", "", delimited(simple...)},
		{"classic", typeProto, delimited(histogramFamily("h", classicExemplars), histogramFamily("i", classic(5, 7), "x", "y"))},
		{"native", typeProto, delimited(histogramFamily("h", native()), histogramFamily("f", nativeFloat(), "x", "y"))},
		{"native and classic", typeProto, delimited(histogramFamily("h", both), counter)},
		{"native with exemplars", typeProto, delimited(histogramFamily("h", nativeExemplars))},
		{"gauge histogram", typeProto, delimited(gaugeHistogram)},
		{"native, nothing observed", typeProto, delimited(histogramFamily("h", empty))},
		{"native with a stale sum", typeProto, delimited(histogramFamily("h", staleSum))},
		{"native with bad spans", typeProto, delimited(untyped, histogramFamily("h", badSpans))},
		{"native with a bad schema", typeProto, delimited(untyped, histogramFamily("h", badSchema))},
		{"native with a fine schema", typeProto, delimited(untyped, histogramFamily("h", fineSchema))},
		{"native with many buckets", typeProto, delimited(histogramFamily("h", wide(300)), histogramFamily("g", wide(12)))},
		{"native twice", typeProto, delimited(histogramFamily("h", native()), histogramFamily("h", native()))},
		{"native in one family", typeProto, delimited(family("h", dto.MetricType_HISTOGRAM,
			&dto.Metric{Label: pairs("a", "1"), Histogram: native()}, &dto.Metric{Label: pairs("a", "2"), Histogram: classic(1, 2)},
			&dto.Metric{Label: pairs("a", "3"), Histogram: nativeFloat()}, &dto.Metric{Label: pairs("a", "4"), Histogram: both}))},
		{"protobuf with utf-8 names", typeProto, delimited(family("a.b", dto.MetricType_GAUGE,
			&dto.Metric{Label: pairs("x.y", "z"), Gauge: &dto.Gauge{Value: new(1.0)}}))},
		{"protobuf with an invalid label", typeProto, delimited(untyped, family("a", dto.MetricType_GAUGE,
			&dto.Metric{Label: pairs("", "z"), Gauge: &dto.Gauge{Value: new(1.0)}}))},
		{"protobuf with a long label", typeProto, delimited(family("a", dto.MetricType_GAUGE,
			&dto.Metric{Label: pairs("x", strings.Repeat("long", 5000)), Gauge: &dto.Gauge{Value: new(1.0)}}))},
		{"protobuf without metrics", typeProto, delimited(untyped, family("a", dto.MetricType_GAUGE), counter)},
		{"protobuf, cut", typeProto, strings.TrimSuffix(delimited(simple...), "\x40")[:len(delimited(simple...))-9]},
		{"protobuf, not", typeProto, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	}
}

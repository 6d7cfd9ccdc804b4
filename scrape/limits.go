package scrape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// newLabels makes the labels of a series that the cache does not know: those that the target wrote,
// those of the target, relabelled and checked. They are empty if the series is to be dropped.
func (in *ingester) newLabels(p textparse.Parser) (labels.Labels, error) {
	in.readLabels(p)
	ls := in.relabel(in.labels)
	switch {
	case ls.IsEmpty():
		return ls, nil
	case !ls.Has(model.MetricNameLabel):
		return ls, errNoName
	case !ls.IsValid(in.job.config.MetricNameValidationScheme):
		return ls, fmt.Errorf("invalid metric name or label names: %s", ls.String())
	}
	err := checkLabels(ls, in.job.config)
	if err != nil {
		in.job.options.Metrics.loops.labelLimits.Inc()
	}
	return ls, err
}

// relabel adds the target's labels and applies metric_relabel_configs.
func (in *ingester) relabel(scraped labels.Labels) labels.Labels {
	in.builder.Reset(scraped)
	var conflicts []labels.Label
	in.target.labels.Range(func(l labels.Label) {
		if isReserved(l.Name) {
			return
		}
		if in.job.config.HonorLabels {
			if !scraped.Has(l.Name) {
				in.builder.Set(l.Name, l.Value)
			}
			return
		}
		if existing := scraped.Get(l.Name); existing != "" {
			conflicts = append(conflicts, labels.Label{Name: l.Name, Value: existing})
		}
		in.builder.Set(l.Name, l.Value)
	})
	export(in.builder, conflicts)
	if !relabel.ProcessBuilder(in.builder, in.job.config.MetricRelabelConfigs...) {
		return labels.EmptyLabels()
	}
	return in.builder.Labels()
}

// export renames labels that the target's own have displaced, the shortest first, until their names
// are free.
func export(b *labels.Builder, displaced []labels.Label) {
	slices.SortStableFunc(displaced, func(a, b labels.Label) int { return len(a.Name) - len(b.Name) })
	for _, l := range displaced {
		name := model.ExportedLabelPrefix + l.Name
		for b.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		b.Set(name, l.Value)
	}
}

// checkLabels holds the label limits of a job.
func checkLabels(ls labels.Labels, c *promconfig.ScrapeConfig) error {
	metric := ls.Get(model.MetricNameLabel)
	if limit := int(c.LabelLimit); limit > 0 && ls.Len() > limit {
		return fmt.Errorf("label_limit exceeded (metric: %.50s, number of labels: %d, limit: %d)", metric, ls.Len(), limit)
	}
	nameLimit, valueLimit := int(c.LabelNameLengthLimit), int(c.LabelValueLengthLimit)
	if nameLimit == 0 && valueLimit == 0 {
		return nil
	}
	return ls.Validate(func(l labels.Label) error {
		if nameLimit > 0 && len(l.Name) > nameLimit {
			return fmt.Errorf("label_name_length_limit exceeded (metric: %.50s, label name: %.50s, length: %d, limit: %d)",
				metric, l.Name, len(l.Name), nameLimit)
		}
		if valueLimit > 0 && len(l.Value) > valueLimit {
			return fmt.Errorf("label_value_length_limit exceeded (metric: %.50s, label name: %.50s, value: %.50q, length: %d, limit: %d)",
				metric, l.Name, l.Value, len(l.Value), valueLimit)
		}
		return nil
	})
}

// limit makes a histogram as coarse as the job wants it, and refuses what is too much. Markers of
// known series always pass.
func (in *ingester) limit(ref storage.SeriesRef, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) error {
	if h != nil || fh != nil {
		if err := in.coarsen(h, fh); err != nil {
			return err
		}
	}
	if limit := int(in.job.config.SampleLimit); limit > 0 && (ref == 0 || !value.IsStaleNaN(v)) {
		if in.appended++; in.appended > limit {
			return errSampleLimit
		}
	}
	if t > in.latest {
		return storage.ErrOutOfBounds
	}
	return nil
}

// roomFor refuses a new series of an instance that has as many as it may have. One that it has had
// some minutes ago is not new.
func (in *ingester) roomFor(ls labels.Labels) error {
	err := in.meter.room()
	if err == nil {
		return nil
	}
	if known := in.cache.book.Find(ls); known != 0 {
		in.cache.book.Release(known)
		return nil
	}
	return err
}

func (in *ingester) coarsen(h *histogram.Histogram, fh *histogram.FloatHistogram) error {
	if h != nil {
		return coarsen(h, &h.Schema, func() int { return len(h.PositiveBuckets) + len(h.NegativeBuckets) }, in.job)
	}
	return coarsen(fh, &fh.Schema, func() int { return len(fh.PositiveBuckets) + len(fh.NegativeBuckets) }, in.job)
}

// coarsen reduces the resolution to the job's finest schema, and on until there are not too many
// buckets. Only exponential schemas can be reduced.
func coarsen(h interface{ ReduceResolution(int32) error }, schema *int32, buckets func() int, j *job) error {
	if j.maxSchema < histogram.ExponentialSchemaMax && histogram.IsExponentialSchemaReserved(*schema) && *schema > j.maxSchema {
		if err := h.ReduceResolution(j.maxSchema); err != nil {
			return err
		}
	}
	limit := int(j.config.NativeHistogramBucketLimit)
	for limit > 0 && buckets() > limit {
		if !histogram.IsExponentialSchema(*schema) || *schema <= histogram.ExponentialSchemaMin {
			return errBucketLimit
		}
		if err := h.ReduceResolution(*schema - 1); err != nil {
			return err
		}
	}
	return nil
}

// isOfFamily reports whether a series belongs to the family whose metadata came before it: with the
// suffixes that the family's type allows, its name is the family's.
func isOfFamily(series, family string, kind model.MetricType) bool {
	if !strings.HasPrefix(series, family) {
		return false
	}
	switch kind {
	case model.MetricTypeCounter:
		return strings.TrimSuffix(series, "_total") == strings.TrimSuffix(family, "_total")
	case model.MetricTypeInfo:
		return strings.TrimSuffix(series, "_info") == strings.TrimSuffix(family, "_info")
	case model.MetricTypeHistogram:
		return trimOne(series, "_bucket", "_sum", "_count") == family
	case model.MetricTypeGaugeHistogram:
		return trimOne(series, "_bucket", "_gsum", "_gcount") == family
	case model.MetricTypeSummary:
		return trimOne(series, "_sum", "_count") == family
	default:
		return series == family
	}
}

func trimOne(s string, suffixes ...string) string {
	for _, suffix := range suffixes {
		if trimmed, ok := strings.CutSuffix(s, suffix); ok {
			return trimmed
		}
	}
	return s
}

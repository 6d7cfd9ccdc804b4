package scrape

import (
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

const reportCount = 8

// reportSeries are the series that a scrape adds about itself, in the order in which they are
// appended. The extra ones are those of extra_scrape_metrics.
var reportSeries = [reportCount]struct {
	name, unit, help string
	extra            bool
	value            func(*outcome, *attempt) float64
}{
	{"up", "targets", "Health of the scrape target. 1 means the target is healthy, 0 if the scrape failed.", false,
		func(o *outcome, _ *attempt) float64 {
			if o.err != nil {
				return 0
			}
			return 1
		}},
	{"scrape_duration_seconds", "seconds", "Duration of the last scrape in seconds.", false,
		func(o *outcome, _ *attempt) float64 { return o.duration.Seconds() }},
	{"scrape_samples_scraped", "samples", "Number of samples last scraped.", false,
		func(o *outcome, _ *attempt) float64 { return float64(o.scraped) }},
	{"scrape_samples_post_metric_relabeling", "samples", "Number of samples remaining after metric relabeling was applied.", false,
		func(o *outcome, _ *attempt) float64 { return float64(o.kept) }},
	{"scrape_series_added", "series", "Number of series in the last scrape.", false,
		func(o *outcome, _ *attempt) float64 { return float64(o.newSeries) }},
	{"scrape_timeout_seconds", "seconds", "The configured scrape timeout for a target.", true,
		func(_ *outcome, r *attempt) float64 { return r.target.timeout.Seconds() }},
	{"scrape_sample_limit", "samples", "The configured sample limit for a target. Returns zero if there is no limit configured.", true,
		func(_ *outcome, r *attempt) float64 { return float64(r.job.config.SampleLimit) }},
	{"scrape_body_size_bytes", "bytes", "The uncompressed size of the last scrape response, if successful. " +
		"Scrapes failing because body_size_limit is exceeded report -1, other scrape failures report 0.", true,
		func(o *outcome, _ *attempt) float64 { return float64(o.bytes) }},
}

// outcome is what became of a scrape.
type outcome struct {
	counts
	refused  string        // the first series that was, and why
	bytes    int           // of the body; -1: too many
	duration time.Duration // until the report
	err      error         // why the target is down
}

// appendReport appends the report series of a scrape.
func (in *ingester) appendReport(o *outcome, r *attempt) error {
	for i := range reportSeries {
		report := &reportSeries[i]
		if !in.reports(i) {
			continue
		}
		known := in.cache.reports[i]
		options := storage.AOptions{
			MetricFamilyName: report.name,
			Metadata:         metadata.Metadata{Type: model.MetricTypeGauge, Help: report.help, Unit: report.unit},
		}
		in.inside = true
		ref, err := known, storage.ErrNotFound
		if ref != 0 {
			ref, err = in.app.Append(ref, labels.EmptyLabels(), 0, in.now, report.value(o, r), nil, nil, options)
		}
		if errors.Is(err, storage.ErrNotFound) {
			ref, err = in.app.Append(known, in.reportLabels(report.name), 0, in.now, report.value(o, r), nil, nil, options)
		}
		in.inside = false
		switch {
		case err == nil:
			in.cache.setReport(i, ref)
		case !isLate(err):
			return err
		}
	}
	return nil
}

// reports reports whether the i-th report series is one of this job's.
func (in *ingester) reports(i int) bool {
	return !reportSeries[i].extra || in.job.extraMetrics()
}

// kindOf finds out whether a series that the target wrote is also a report about it.
func (in *ingester) kindOf(ls labels.Labels) lineKind {
	name := ls.Get(model.MetricNameLabel)
	for i := range reportSeries {
		if reportSeries[i].name == name && labels.Equal(in.reportLabels(name), ls) {
			return ofReport + lineKind(i)
		}
	}
	return ofSample
}

// reportLabels are the public ones of the target with a name. Prometheus treats a target label like
// one that the target wrote, and so loses exported_x where there is x; series must keep their
// labels when an instance comes here, so this does the same.
func (in *ingester) reportLabels(name string) labels.Labels {
	in.builder.Reset(labels.EmptyLabels())
	in.builder.Set(model.MetricNameLabel, name)
	in.target.labels.Range(func(l labels.Label) {
		if !isReserved(l.Name) {
			in.builder.Del(model.ExportedLabelPrefix + l.Name)
			in.builder.Set(l.Name, l.Value)
		}
	})
	return in.builder.Labels()
}

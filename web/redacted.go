package web

import (
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// Whatever this package answers passes one of these on its way in, so that no page, endpoint or
// bundle can forget it.

// redactedInstances is what runs here, as it may be shown.
type redactedInstances struct{ from Instances }

func (r redactedInstances) Appendable(name string) (storage.AppendableV2, bool) {
	return r.from.Appendable(name)
}

func (r redactedInstances) Instances(ctx context.Context, config string) ([]Instance, error) {
	return Once(ctx, instancesKey{config}, func() ([]Instance, error) { return r.instances(ctx, config) })
}

// instancesKey is of the instances of a config.
type instancesKey struct{ config string }

func (r redactedInstances) instances(ctx context.Context, config string) ([]Instance, error) {
	all, err := r.from.Instances(ctx, config)
	for i := range all {
		instance := &all[i]
		instance.LastError, instance.Hold = redact.Text(instance.LastError), redact.Text(instance.Hold)
		instance.Limits = slices.Clone(instance.Limits)
		for j := range instance.Limits {
			instance.Limits[j].Message = redact.Text(instance.Limits[j].Message)
		}
	}
	return all, redact.Error(err)
}

func (r redactedInstances) Targets(ctx context.Context, wanted func(UnitTargets) bool) ([]Target, error) {
	return r.pick(ctx, wanted, func(outline) bool { return true })
}

// outline is what may be known of a target without looking for secrets.
type outline struct{ config, unit, job, state string }

// pick returns the targets that are wanted of the units that are. Only those are looked through for
// secrets, which is what costs.
func (r redactedInstances) pick(ctx context.Context, units func(UnitTargets) bool, wanted func(outline) bool) ([]Target, error) {
	all, err := r.from.Targets(ctx, units)
	var (
		shown  = make([]Target, 0, len(all))
		labels = labelRedactor{hidden: map[string]bool{}, builder: labels.NewScratchBuilder(16)}
	)
	for i := range all {
		if !wanted(outline{all[i].Instance, all[i].Unit, all[i].TargetGroup, all[i].State}) {
			continue
		}
		shown = append(shown, all[i])
		target := &shown[len(shown)-1]
		target.Endpoint, target.ScrapeError = redact.URLText(target.Endpoint), redact.Text(target.ScrapeError)
		target.Refused = redact.Text(target.Refused)
		target.Labels = labels.redacted(target.Labels)
		target.DiscoveredLabels = labels.redacted(target.DiscoveredLabels)
	}
	return shown, redact.Error(err)
}

// labelRedactor hides what labels may not show. It remembers which names are shown: thousands of
// targets have the same ones.
type labelRedactor struct {
	hidden  map[string]bool
	builder labels.ScratchBuilder
	bytes   []byte
}

func (r *labelRedactor) hides(name string) bool {
	hide, known := r.hidden[name]
	if !known {
		hide = redact.Relabeled(name)
		r.hidden[name] = hide
	}
	return hide
}

func (r *labelRedactor) redacted(ls labels.Labels) labels.Labels {
	hides := false
	ls.Range(func(l labels.Label) { hides = hides || l.Value != "" && r.hides(l.Name) })
	if r.bytes = ls.Bytes(r.bytes); !hides && redact.IsPlain(r.bytes) {
		return ls
	}
	r.builder.Reset()
	ls.Range(func(l labels.Label) {
		value := redact.Mark
		if !r.hides(l.Name) {
			value = redact.Value(l.Value)
		}
		r.builder.Add(l.Name, value)
	})
	return r.builder.Labels()
}

// redactedInspector is what a closer look shows, as it may be shown.
type redactedInspector struct{ from Inspector }

func (r redactedInspector) Scrape(ctx context.Context, t Target) (Answer, error) {
	answer, err := r.from.Scrape(ctx, t)
	return answer, redact.Error(err)
}

func (r redactedInspector) Discovered(ctx context.Context, config string, detail bool) ([]DiscoveredJob, error) {
	all, err := r.from.Discovered(ctx, config, detail)
	labels := labelRedactor{hidden: map[string]bool{}, builder: labels.NewScratchBuilder(16)}
	for _, job := range all {
		for i := range job.Targets {
			t := &job.Targets[i]
			t.Before, t.After = labels.redacted(t.Before), labels.redacted(t.After)
			t.Problem = redact.Text(t.Problem)
		}
	}
	return all, redact.Error(err)
}

// redactedCluster is what is known of all nodes, as it may be shown.
type redactedCluster struct{ Cluster }

// State gives what a page has asked for already, if that has what is wanted.
func (r redactedCluster) State(ctx context.Context, of Scope) (ClusterState, error) {
	if all, known := Known[ClusterState](ctx, Scope{}); known && of.Config == "" {
		return all, nil
	}
	return Once(ctx, of, func() (ClusterState, error) { return r.state(ctx, of) })
}

func (r redactedCluster) state(ctx context.Context, of Scope) (ClusterState, error) {
	state, err := r.Cluster.State(ctx, of)
	state.Problem = redact.Text(state.Problem)
	members := make([]Member, len(state.Members))
	for i, member := range state.Members {
		members[i] = member.redacted()
	}
	held, cordons := make([]Standing, len(state.Held)), make([]Standing, len(state.Cordons))
	for i, h := range state.Held {
		held[i] = h.redacted()
	}
	for i, c := range state.Cordons {
		cordons[i] = c.redacted()
	}
	for i := range state.Units {
		state.Units[i].Hold = redact.Text(state.Units[i].Hold)
	}
	state.Members, state.Held, state.Cordons = members, held, cordons
	return state, redact.Error(err)
}

func (r redactedCluster) Order(ctx context.Context, o Order) error {
	return redact.Error(r.Cluster.Order(ctx, o))
}

// redacted is the member as it may be shown.
func (m Member) redacted() Member {
	m.Problem, m.Unfit = redact.Text(m.Problem), redact.Text(m.Unfit)
	if m.Cordon != nil {
		cordon := m.Cordon.redacted()
		m.Cordon = &cordon
	}
	return m
}

// redactedRing is who shares the work, as it may be shown.
type redactedRing struct{ Ring }

func (r redactedRing) Members(ctx context.Context) ([]Member, error) {
	all, err := r.Ring.Members(ctx)
	shown := make([]Member, len(all))
	for i, member := range all {
		shown[i] = member.redacted()
	}
	return shown, redact.Error(err)
}

// redactedGatherer is the metrics of the process, as they may be shown: a label may be an address.
type redactedGatherer struct{ prometheus.Gatherer }

func (r redactedGatherer) Gather() ([]*dto.MetricFamily, error) {
	families, err := r.Gatherer.Gather()
	for _, family := range families {
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if shown := redact.Text(label.GetValue()); shown != label.GetValue() {
					label.Value = &shown
				}
			}
		}
	}
	return families, redact.Error(err)
}

// redactedReady is what the node waits for, as it may be shown.
func redactedReady(ready func() []string) func() []string {
	return func() []string {
		waiting := slices.Clone(ready())
		for i := range waiting {
			waiting[i] = redact.Text(waiting[i])
		}
		return waiting
	}
}

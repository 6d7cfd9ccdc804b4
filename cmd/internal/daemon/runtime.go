package daemon

import (
	"context"

	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/web"
)

// runtime shows what runs in this process to the HTTP API.
type runtime struct {
	tree *tree
	// node is this node's name.
	node string
}

var _ web.Instances = runtime{}

// Instances implements web.Instances.
func (r runtime) Instances(ctx context.Context) ([]web.Instance, error) {
	description, err := r.tree.client.Describe(ctx)
	if err != nil {
		return nil, err
	}
	instances := make([]web.Instance, 0, description.Units.Len())
	for u := range description.Units.All() {
		if concernsNode(u, r.node) {
			instances = append(instances, r.describe(u))
		}
	}
	return instances, nil
}

func (r runtime) describe(u messages.UnitDescription) web.Instance {
	shown := web.Instance{
		Name:       u.Unit.Config,
		Unit:       unitName(u.Unit),
		Phase:      u.Phase.String(),
		Since:      u.Since,
		Revision:   u.RunningRevision,
		Generation: u.Generation,
		// Its phase says so only if nothing runs.
		Quarantined: u.Phase == messages.PhaseQuarantined || u.QuarantineReason != "",
		LastError:   firstOf(u.QuarantineReason, u.InvalidReason, u.LastError),
		Hold:        u.Hold,
		RetryAt:     u.NextAttempt,
	}
	if p := r.pipeline(u.Unit.Key()); p != nil {
		for _, endpoint := range p.Endpoints() {
			if shown.Pending == nil || *shown.Pending < endpoint.Pending {
				shown.Pending = &endpoint.Pending
			}
		}
	}
	return shown
}

// Targets implements web.Instances.
func (r runtime) Targets(context.Context) ([]web.Target, error) {
	targets := []web.Target{}
	for _, entry := range r.tree.directory.All() {
		if p, ok := entry.Pipeline.(*pipeline.Pipeline); ok {
			for _, t := range p.Targets() {
				targets = append(targets, describeTarget(entry.Unit, t))
			}
		}
	}
	return targets, nil
}

func describeTarget(u messages.Unit, t scrape.Target) web.Target {
	return web.Target{
		Instance:         u.Config,
		TargetGroup:      t.Job,
		Endpoint:         t.URL,
		State:            string(t.State),
		Labels:           t.Labels,
		DiscoveredLabels: t.DiscoveredLabels,
		LastScrape:       t.LastScrape,
		ScrapeDurationMS: t.LastDuration.Milliseconds(),
		ScrapeError:      t.LastError,
	}
}

// Appendable implements web.Instances.
func (r runtime) Appendable(name string) (storage.AppendableV2, bool) {
	if p := r.pipeline(name); p != nil {
		return p.Appendable(), true
	}
	return nil, false
}

// pipeline is nil if no such instance runs.
func (r runtime) pipeline(key string) *pipeline.Pipeline {
	found, ok := r.tree.directory.Get(key)
	if !ok {
		return nil
	}
	p, _ := found.(*pipeline.Pipeline)
	return p
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

var _ actors.NewPipeline = (*pipeline.Factory)(nil).New

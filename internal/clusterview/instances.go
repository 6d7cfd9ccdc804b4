package clusterview

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Instances implements web.Instances.
func (v *View) Instances(ctx context.Context, config string) ([]web.Instance, error) {
	description, err := v.describe(ctx, messages.DescribeTree{Config: config, Own: config == ""})
	if err != nil {
		return nil, err
	}
	instances := make([]web.Instance, 0, description.Units.Len())
	for u := range description.Units.All() {
		if concernsNode(u, v.Self.ID) {
			instances = append(instances, v.instance(u))
		}
	}
	return instances, nil
}

func (v *View) instance(u messages.UnitDescription) web.Instance {
	shown := web.Instance{
		Name:       u.Unit.Config,
		Unit:       unitName(u.Unit),
		Phase:      u.Phase.String(),
		Since:      u.Since,
		Revision:   u.RunningRevision,
		Generation: u.Generation,
		// Its phase says so only if nothing runs.
		Quarantined: u.Phase == messages.PhaseQuarantined || u.QuarantineReason != "",
		Invalid:     u.InvalidReason != "",
		LastError:   cmp.Or(u.QuarantineReason, u.InvalidReason, u.LastError),
		Hold:        u.Hold,
		RetryAt:     u.NextAttempt,
	}
	if p := v.pipeline(u.Unit.Key()); p != nil {
		shown.Compatibility = string(p.Compatibility())
		for _, endpoint := range p.Endpoints() {
			if shown.Pending == nil || *shown.Pending < endpoint.Pending {
				shown.Pending = &endpoint.Pending
			}
			shown.Endpoints = append(shown.Endpoints, describeEndpoint(endpoint, v.Now()))
		}
		for _, r := range p.Refusals() {
			shown.Limits = append(shown.Limits, web.Limit{Name: r.Limit, Count: r.Count, Last: r.Last, Message: r.Message})
		}
	}
	return shown
}

func describeEndpoint(e remotewrite.EndpointStatus, now time.Time) web.Endpoint {
	shown := web.Endpoint{
		Name: e.Name, URL: e.URL, Pending: e.Pending, Sent: e.Sent,
		Failing: e.Failing, LastError: e.LastError, LastErrorAt: e.LastErrorAt, LastSuccess: e.LastSuccess,
	}
	for reason, n := range e.Dropped {
		if shown.Dropped == nil {
			shown.Dropped = map[string]uint64{}
		}
		shown.Dropped[reason.String()] = n
	}
	if e.Pending > 0 && e.SentUpTo > 0 {
		shown.Lag = max(0, now.Sub(time.UnixMilli(e.SentUpTo)).Seconds())
	}
	for _, g := range e.Gaps {
		shown.Gaps = append(shown.Gaps, web.Gap{From: instant(g.From), To: instant(g.To), Reason: g.Reason.String(), Samples: g.Samples, At: g.At})
	}
	return shown
}

// instant is a time in milliseconds, of which 0 is not known.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Targets implements web.Instances.
func (v *View) Targets(_ context.Context, wanted func(web.UnitTargets) bool) ([]web.Target, error) {
	targets := []web.Target{}
	for _, entry := range v.Directory.All() {
		p, ok := entry.Pipeline.(*pipeline.Pipeline)
		if !ok {
			continue
		}
		counted := func(counts map[scrape.State]int) bool {
			return wanted == nil || wanted(web.UnitTargets{
				Config: entry.Unit.Config, Unit: unitName(entry.Unit), Up: counts[scrape.StateUp], Down: counts[scrape.StateDown], Unknown: counts[scrape.StateUnknown],
			})
		}
		for _, t := range p.Targets(counted) {
			targets = append(targets, describeTarget(entry.Unit, t))
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
		Refused:          t.Refused,
		Samples:          t.Samples,
		Unit:             unitName(u),
		Handle:           t.ID,
	}
}

// Scrape implements web.Inspector.
func (v *View) Scrape(ctx context.Context, t web.Target) (web.Answer, error) {
	for _, entry := range v.Directory.All() {
		p, ok := entry.Pipeline.(*pipeline.Pipeline)
		if !ok || entry.Unit.Config != t.Instance || unitName(entry.Unit) != t.Unit {
			continue
		}
		g, err := p.Glance(ctx, t.TargetGroup, t.Handle, maxGlance)
		if err != nil {
			return web.Answer{}, err
		}
		return describeGlance(g), nil
	}
	return web.Answer{}, scrape.ErrNoTarget
}

// maxGlance is how much of a body is passed on.
const maxGlance = 64 << 10

func describeGlance(g scrape.Glance) web.Answer {
	answer := web.Answer{
		Status: g.Status, Seconds: g.Duration.Seconds(), Bytes: uint64(g.Size), Samples: g.Samples, Parsed: g.Parsed, Limits: g.Exceeded, Body: string(g.Body),
	}
	if g.Err != nil {
		answer.Error = g.Err.Error()
	}
	for _, name := range slices.Sorted(maps.Keys(g.Header)) {
		answer.Headers = append(answer.Headers, web.AnswerHeader{Name: name, Value: strings.Join(g.Header[name], ", ")})
	}
	return answer
}

// Discovered implements web.Inspector.
func (v *View) Discovered(_ context.Context, config string, detail bool) ([]web.DiscoveredJob, error) {
	var jobs []web.DiscoveredJob
	for _, entry := range v.Directory.All() {
		p, ok := entry.Pipeline.(*pipeline.Pipeline)
		if !ok || config != "" && entry.Unit.Config != config {
			continue
		}
		for _, job := range p.Discovered(detail) {
			shown := web.DiscoveredJob{
				Config: entry.Unit.Config, Unit: unitName(entry.Unit), Job: job.Job, Kept: job.Kept, Dropped: job.Dropped, Failed: job.Invalid, Elsewhere: job.Elsewhere,
			}
			for _, t := range job.Targets {
				shown.Targets = append(shown.Targets, describeFound(t))
			}
			jobs = append(jobs, shown)
		}
	}
	return jobs, nil
}

func describeFound(t scrape.FoundTarget) web.DiscoveredTarget {
	shown := web.DiscoveredTarget{State: string(t.Outcome), Before: t.Before, After: t.After, Rule: t.Rule, RuleNumber: t.Number}
	if t.Err != nil {
		shown.Problem = t.Err.Error()
	}
	return shown
}

// Appendable implements web.Instances.
func (v *View) Appendable(name string) (storage.AppendableV2, bool) {
	if p := v.pipeline(name); p != nil {
		return p.Appendable(), true
	}
	return nil, false
}

// pipeline is nil if no such instance runs.
func (v *View) pipeline(key string) *pipeline.Pipeline {
	found, ok := v.Directory.Get(key)
	if !ok {
		return nil
	}
	p, _ := found.(*pipeline.Pipeline)
	return p
}

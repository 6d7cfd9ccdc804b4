package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// listInstances answers the names of the instances that run here; an instance in several units
// shows once.
func (s *Server) listInstances(w http.ResponseWriter, r *http.Request) {
	all, err := s.opts.Instances.Instances(r.Context(), "")
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "list instances: " + err.Error()})
		return
	}
	names := []string{}
	for _, i := range all {
		if i.Phase == PhaseRunning {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	succeed(w, http.StatusOK, slices.Compact(names))
}

// instanceStatus, ours, answers how every instance is doing, those that don't run included.
func (s *Server) instanceStatus(w http.ResponseWriter, r *http.Request) {
	all, err := s.sortedInstances(r.Context())
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "list instances: " + err.Error()})
		return
	}
	succeed(w, http.StatusOK, struct {
		Instances []Instance `json:"instances"`
	}{all})
}

func (s *Server) listTargets(w http.ResponseWriter, r *http.Request) {
	targets, err := s.sortedTargets(r.Context())
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "list targets: " + err.Error()})
		return
	}
	succeed(w, http.StatusOK, targets)
}

// sortedInstances is never nil: it is shown as [] when empty.
func (s *Server) sortedInstances(ctx context.Context) ([]Instance, error) {
	all, err := s.opts.Instances.Instances(ctx, "")
	if err != nil {
		return nil, err
	}
	all = append([]Instance{}, all...)
	slices.SortStableFunc(all, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Unit, b.Unit))
	})
	return all, nil
}

// sortedTargets is never nil either.
func (s *Server) sortedTargets(ctx context.Context) ([]Target, error) {
	targets, err := s.opts.Instances.Targets(ctx, nil)
	if err != nil {
		return nil, err
	}
	targets = append([]Target{}, targets...)
	slices.SortStableFunc(targets, func(a, b Target) int {
		return cmp.Or(
			cmp.Compare(a.Instance, b.Instance),
			cmp.Compare(a.TargetGroup, b.TargetGroup),
			cmp.Compare(a.Endpoint, b.Endpoint),
			labels.Compare(a.Labels, b.Labels),
		)
	})
	return targets, nil
}

// noInstances is a process in which nothing runs.
type noInstances struct{}

func (noInstances) Instances(context.Context, string) ([]Instance, error) { return nil, nil }
func (noInstances) Targets(context.Context, func(UnitTargets) bool) ([]Target, error) {
	return nil, nil
}
func (noInstances) Appendable(string) (a storage.AppendableV2, ok bool) { return nil, false }

// noInspector is for a process in which nothing runs.
type noInspector struct{}

func (noInspector) Scrape(context.Context, Target) (Answer, error) {
	return Answer{}, errors.New("nothing runs in this process")
}

func (noInspector) Discovered(context.Context, string, bool) ([]DiscoveredJob, error) {
	return nil, nil
}

package ringmaster

import (
	"net/http"
	"time"

	"github.com/ringmaster-agent/ringmaster/internal/clusterview"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Handler is the HTTP API with its pages. Under a path of your own, take that off before, with
// http.StripPrefix: links and redirects lead to where the client has asked. Until the supervisor is
// spawned it answers 503. Whoever reaches it may change configs: put authentication before it.
func (s *Supervisor) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := s.handler.Load()
		if h == nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the supervisor is not running", http.StatusServiceUnavailable)
			return
		}
		(*h).ServeHTTP(w, r)
	})
}

// openHandler makes the API of a supervisor that is spawned, and returns what it shows.
func (s *Supervisor) openHandler(r *running) *clusterview.View {
	o := s.options
	alive := true
	self := web.Member{ID: o.Node, State: web.StateActive, Scheme: o.Scheme, Address: o.Address, Version: o.Version, Registered: time.Now(), Share: 1, Alive: &alive}
	if s.cluster != nil {
		self.Zone = s.cluster.Zone
	}
	view := clusterview.New(clusterview.Options{Self: self, Shared: s.cluster, Tree: r.client, Directory: s.directory, Now: time.Now})
	ready := &clusterview.Readiness{Tree: r.client, Least: o.MinReady, Store: o.StoreProblem}
	w := o.Web
	if w.Logger == nil {
		w.Logger = o.Logger.Named("web")
	}
	if w.Registerer == nil {
		w.Registerer = s.metrics.registerer()
	}
	if w.Gatherer == nil {
		w.Gatherer = o.Gatherer
	}
	if w.InstanceOptions == nil {
		w.InstanceOptions = o.InstanceOptions
	}
	if w.Ready == nil {
		w.Ready, w.Late = ready.Missing, ready.Late
	}
	if w.Node == "" {
		w.Node, w.Version = o.Node, o.Version
	}
	w.Faults, w.Instances, w.Cluster, w.Inspector, w.History, w.Journal = o.Faults, view, view, view, s.history.Points, s.journal.Of
	w.Rates = s.history.Rates
	if s.configs != nil {
		w.Configs, w.Ring = s.configs, view
	}
	var handler http.Handler = web.New(w)
	s.handler.Store(&handler)
	return view
}

package daemon

import (
	"net/http"

	"github.com/ringmaster-agent/ringmaster/web"
)

// api is the HTTP API with everything it shows.
func (d *daemon) api() http.Handler {
	service := d.settings.agent().Metrics.ScrapingService
	node := nodeName(service.Lifecycler, d.Hostname)
	view := d.clusterView(node)
	o := web.Options{
		Logger:          d.Logger.Named("web"),
		Registerer:      d.registry,
		Gatherer:        d.registry,
		Node:            node,
		Version:         d.Version,
		InstanceOptions: d.settings.instanceOptions,
		ReadAPI:         d.ReadAPI,
		Instances:       runtime{tree: d.tree, node: node},
		Cluster:         view,
		PeerClient:      d.peerClient(),
		Ready:           d.notReady,
		Reload:          d.reload,
		AgentConfig:     func() (string, error) { return d.settings.agent().Masked(), nil },
	}
	if d.quorum != nil {
		o.ReplaceStoreMember = d.quorum.ReplaceMember
	}
	if d.configs != nil {
		o.Configs = d.configs
		o.Ring = view
	}
	return web.New(o)
}

package daemon

import (
	"github.com/ringmaster-agent/ringmaster/internal/clusterview"
	"github.com/ringmaster-agent/ringmaster/web"
)

// webOptions is what the HTTP API has that is the daemon's.
func (d *daemon) webOptions() web.Options {
	service := d.settings.agent().Metrics.ScrapingService
	o := web.Options{
		Logger:      d.Logger.Named("web"),
		LogLevels:   d.Logger.Levels,
		ReadAPI:     d.ReadAPI,
		Uploads:     d.settings.uploads,
		Checked:     d.settings.checked.keep,
		PeerClient:  clusterview.PeerClient(d.WebConfigFile, d.settings.agent().Server, d.Logger.Logger),
		Flags:       d.Flags,
		Reload:      d.reload,
		AgentConfig: func() (string, error) { return d.settings.agent().Masked(), nil },
	}
	o.Refusals = d.front.refused
	o.Warnings = d.warnings
	o.Secured = d.secured
	if !d.secured {
		o.Hosts = append([]string{d.Hostname, service.Lifecycler.Address}, d.settings.agent().Server.AllowedHosts...)
	}
	if d.quorum != nil {
		o.ReplaceStoreMember = d.quorum.ReplaceMember
	}
	return o
}

// storeProblem says why the embedded store takes no configs.
func (d *daemon) storeProblem() string {
	database, _ := d.embedded.Database()
	return database.Full()
}

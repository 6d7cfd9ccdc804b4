package daemon

import (
	"context"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
)

// openFaults lets the agent be broken on purpose, if it was started so. Rules are never kept: a
// process begins without any.
func (d *daemon) openFaults(context.Context) (func(), error) {
	if !d.Chaos {
		return func() {}, nil
	}
	service := d.settings.agent().Metrics.ScrapingService
	d.faults = fault.New(fault.Options{Node: nodeName(service.Lifecycler, d.Hostname), Logger: d.Logger.Named("chaos")})
	d.registry.MustRegister(around.Metrics(d.faults))
	d.Logger.Warn("fault injection is on (-chaos.enabled): whoever may upload configs can break this agent", zap.Int("points", len(fault.Points())))
	if service.Enabled && d.WebConfigFile == "" && d.settings.agent().Server.HTTPTLS == nil && !d.tcpAddress().IP.IsLoopback() {
		d.Logger.Warn("anybody who reaches the API can inject faults; set -server.web-config", zap.String("address", d.ListenAddress))
	}
	return d.faults.Close, nil
}

// breakProcess does what the rules about the process say.
func (d *daemon) breakProcess(ctx context.Context) error {
	around.Process(ctx, d.faults, d.exit)
	return nil
}

// exit ends the process as a crash would.
func (d *daemon) exit() {
	d.Logger.Error("an injected fault ends the process")
	if d.Exit != nil {
		d.Exit()
	}
}

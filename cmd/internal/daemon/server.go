package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	webconfig "github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/ringmaster-agent/ringmaster/web"
)

// server is the HTTP API with everything it shows.
func (d *daemon) server() *http.Server {
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
	if d.configs != nil {
		o.Configs = d.configs
		o.Ring = view
	}
	return web.NewHTTPServer(web.New(o))
}

// serve answers requests until the server is shut.
func (d *daemon) serve(server *http.Server) error {
	logger := slog.New(zapslog.NewHandler(d.Logger.Core(), zapslog.WithName("web")))
	noSystemd := false
	err := webconfig.Serve(d.listener, server, &webconfig.FlagConfig{
		WebListenAddresses: &[]string{d.ListenAddress}, WebSystemdSocket: &noSystemd, WebConfigFile: &d.WebConfigFile,
	}, quiet(logger))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}

// quiet drops what the library says at each start, which the agent says itself.
func quiet(logger *slog.Logger) *slog.Logger { return slog.New(warningsOnly{logger.Handler()}) }

type warningsOnly struct{ slog.Handler }

func (w warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// shut lets running requests end, but not for long.
func (d *daemon) shut(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		d.Logger.Warn("requests were cut off", zap.Error(err))
		_ = server.Close()
	}
}

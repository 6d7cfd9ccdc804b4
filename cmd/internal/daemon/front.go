package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	webconfig "github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/ringmaster-agent/ringmaster/web"
)

// front is the HTTP server, from the first moment on: a store of several embedded servers may have
// to wait for the others, and whoever asks meanwhile, a probe above all, gets an answer.
type front struct {
	server  *http.Server
	logger  *zap.Logger
	handler atomic.Pointer[http.Handler]
	// ended is closed when no request is taken any more, after err was set.
	ended chan struct{}
	err   error
	// refused counts what is refused here and by the handler.
	refused *web.Refusals
}

func (d *daemon) openFront(context.Context) (func(), error) {
	f := &front{logger: d.Logger.Logger, ended: make(chan struct{})}
	f.refused = web.NewRefusals(d.registry)
	f.server = web.NewHTTPServer(f)
	// The library asks for passwords around our handler, by taking its place. When the server begins
	// to listen that is done, and nobody is connected.
	f.server.BaseContext = func(net.Listener) context.Context {
		f.server.Handler = f.refused.Unauthorized(f.server.Handler)
		return context.Background()
	}
	f.server.ReadTimeout = cmp.Or(d.HTTP.Read, f.server.ReadTimeout)
	f.server.WriteTimeout = cmp.Or(d.HTTP.Write, f.server.WriteTimeout)
	f.server.IdleTimeout = cmp.Or(d.HTTP.Idle, f.server.IdleTimeout)
	f.answerWith(http.HandlerFunc(starting))
	logger := slog.New(zapslog.NewHandler(d.Logger.Core(), zapslog.WithName("web")))
	noSystemd := false
	settings := &webconfig.FlagConfig{
		WebListenAddresses: &[]string{d.ListenAddress}, WebSystemdSocket: &noSystemd, WebConfigFile: &d.WebConfigFile,
	}
	go func() {
		defer close(f.ended)
		if err := webconfig.Serve(d.listener, f.server, settings, quiet(logger)); !errors.Is(err, http.ErrServerClosed) {
			f.err = fmt.Errorf("serve HTTP: %w", err)
		}
	}()
	d.front = f
	return func() {
		f.shut()
		<-f.ended
	}, nil
}

// ServeHTTP answers with what is there to answer with.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}

func (f *front) answerWith(h http.Handler) { f.handler.Store(&h) }

// wait returns when no request is taken any more: an error if nobody asked for it.
func (f *front) wait() error {
	<-f.ended
	return f.err
}

// shut lets running requests end, but not for long. It may be called again.
func (f *front) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		f.logger.Warn("aborted requests that did not finish in time", zap.Error(err))
		_ = f.server.Close()
	}
}

// starting is what everybody is told until the agent is put together.
func starting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path == "/-/healthy" {
		_, _ = io.WriteString(w, "Agent is Healthy.\n")
		return
	}
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "Agent is not Ready.\n- it is starting; its log says what it waits for\n")
}

// quiet drops what the library says at each start, which the agent says itself.
func quiet(logger *slog.Logger) *slog.Logger { return slog.New(warningsOnly{logger.Handler()}) }

type warningsOnly struct{ slog.Handler }

func (w warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

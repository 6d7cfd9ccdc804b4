package daemon

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// reloadOnRequest reloads for each request until ctx is over.
func (d *daemon) reloadOnRequest(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.ReloadRequests:
			if err := d.reload(ctx); err != nil {
				d.Logger.Error("config was not reloaded; the one before stays in force", zap.Error(err))
			}
		}
	}
}

// reload puts the config file in force as it is now. On an error, which speaks for itself, nothing
// has changed.
func (d *daemon) reload(context.Context) error {
	if d.Reload == nil {
		return errors.New("the agent runs without a config file")
	}
	// A signal and a request may come together. Without the lock, the one that read the file first
	// could put it in force last.
	d.reloading.Lock()
	defer d.reloading.Unlock()
	before := d.settings.agent()
	after, err := d.Reload()
	if err == nil {
		err = needsRestart(before, after)
	}
	if err == nil {
		err = d.Logger.SetLevel(after.Server.LogLevel)
	}
	if err != nil {
		d.loads.refused()
		return err
	}
	d.settings.current.Store(after)
	d.loads.loaded(after)
	logWarnings(d.Logger.Logger, after)
	d.tree.client.ReplaceLocal(localDocuments(after)...)
	if rulesDiffer(before, after) {
		d.tree.client.DefaultsChanged(messages.Digest(after.Metrics.Global.Digest()))
	}
	d.Logger.Info("config reloaded", zap.String("sha256", after.Digest().String()))
	return nil
}

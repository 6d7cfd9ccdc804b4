package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/experiment"
)

const (
	// probePrefix begins the names of the configs that --probe uploads.
	probePrefix = "ringmaster-probe-"
	// probePatience bounds the time until all of them are scraped and their samples arrive.
	probePatience = 2 * time.Minute
	// probeLook is how often that is looked at.
	probeLook = 250 * time.Millisecond
	// probeCleanup bounds the removal of the configs.
	probeCleanup = time.Minute
)

// startProbe listens, uploads the configs and waits until the cluster scrapes them and sends. End
// deletes the configs again; it has to be called if the error is nil.
func (p *played) startProbe(ctx context.Context, cluster *remote) (probe *experiment.Probe, end func() error, err error) {
	host, _, err := net.SplitHostPort(p.probe)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return nil, nil, usageError{fmt.Errorf("--probe is %q: give host:port, with an address of this machine that agents reach", p.probe)}
	}
	listener, err := net.Listen("tcp", p.probe)
	if err != nil {
		return nil, nil, fmt.Errorf("listen at the address of --probe: %w", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	// The name keeps two experiments at a time apart.
	probe = experiment.NewProbe(net.JoinHostPort(host, port), fmt.Sprintf("%s%d", probePrefix, os.Getpid()), p.probeConfigs)
	server := &http.Server{Handler: probe.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it ends by Close only
	}()
	var uploaded []string
	end = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeCleanup)
		defer cancel()
		var problems []error
		for _, name := range uploaded {
			if err := cluster.remove(ctx, name); err != nil {
				problems = append(problems, fmt.Errorf("delete config %s of --probe: %w", name, err))
			}
		}
		_ = server.Close()
		<-served
		return errors.Join(problems...)
	}
	for _, name := range probe.Names() {
		if err := cluster.first.Put(ctx, name, probe.Config(name), apiclient.Condition{Absent: true}); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("upload config %s of --probe: %w", name, err), end())
		}
		uploaded = append(uploaded, name)
	}
	fmt.Fprintf(p.told, "uploaded %d configs; waiting until agents scrape them at %s\n", len(uploaded), listener.Addr())
	if err := awaitProbe(ctx, probe); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return probe, end, nil
}

func awaitProbe(ctx context.Context, probe *experiment.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	ticker := time.NewTicker(probeLook)
	defer ticker.Stop()
	for !probe.Ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all configs of --probe are scraped and sent: can agents reach its address? (%w)", ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

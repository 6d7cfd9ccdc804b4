// Command embed is an application of three actors that embeds two supervisors of one cluster. They
// share a config that scrapes the application's own metrics and sends them to a receiver in the
// same process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// patience bounds the whole example.
const patience = time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// work is what the application does.
type work struct{}

// worker counts its work.
func worker(done prometheus.Counter) actor.ReceiveFunc {
	return func(c actor.Context) {
		if _, ok := c.Message().(work); ok {
			done.Inc()
		}
	}
}

// alarm is told what happens to the supervisors, and reacts to what needs somebody.
func alarm(running chan<- string) actor.ReceiveFunc {
	return func(c actor.Context) {
		switch m := c.Message().(type) {
		case messages.UnitStarted:
			running <- m.Unit.String()
		case messages.UnitQuarantined:
			fmt.Println("page somebody:", m.Unit, m.Reason)
			c.Send(c.Sender(), messages.RetryInstance{Unit: m.Unit})
		}
	}
}

// embedding begins here.

// scraper is the actor below which both supervisors run.
type scraper struct {
	directory   string
	server      *memstore.Server
	registry    *prometheus.Registry
	alarm       *actor.PID
	ready       chan<- error
	supervisors []*ringmaster.Supervisor
}

// Receive implements actor.Actor.
func (s *scraper) Receive(c actor.Context) {
	if _, ok := c.Message().(*actor.Started); !ok {
		return
	}
	for _, node := range []string{"one", "two"} {
		supervisor, err := ringmaster.New(ringmaster.Options{
			Directory: filepath.Join(s.directory, node), Node: node, Store: s.server.Connect(), Cluster: &actors.Cluster{Address: node, Scheme: "http"},
			Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"supervisor": node}, s.registry), Subscriber: s.alarm,
		})
		if err != nil {
			s.ready <- err
			return
		}
		c.Spawn(supervisor.Props())
		s.supervisors = append(s.supervisors, supervisor)
	}
	s.ready <- nil
}

// embedding ends here.

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	directory, err := os.MkdirTemp("", "embed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	registry := prometheus.NewRegistry()
	done := prometheus.NewCounter(prometheus.CounterOpts{Name: "app_work_total", Help: "Work that was done."})
	registry.MustRegister(done)
	var received atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received.Add(1)
		w.WriteHeader(http.StatusNoContent)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	system, running, ready := actors.NewSystem(nil), make(chan string, 10), make(chan error, 1)
	working := system.Root.Spawn(actor.PropsFromFunc(worker(done)))
	warned := system.Root.Spawn(actor.PropsFromFunc(alarm(running)))
	embedded := &scraper{directory: directory, server: memstore.NewServer(nil), registry: registry, alarm: warned, ready: ready}
	system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return embedded }))
	if err := <-ready; err != nil {
		return err
	}
	config := fmt.Sprintf("scrape_configs: [{job_name: app, scrape_interval: 1s, static_configs: [{targets: [%q]}]}]\n"+
		"remote_write: [{url: 'http://%s/write', queue_config: {batch_send_deadline: 500ms}}]\n", listener.Addr(), listener.Addr())
	if _, err := embedded.supervisors[0].Configs().Put(ctx, "self", config, cluster.Condition{}); err != nil {
		return err
	}
	for {
		select {
		case unit := <-running:
			fmt.Println(unit, "runs")
		case <-time.After(100 * time.Millisecond):
			system.Root.Send(working, work{})
		case <-ctx.Done():
			return errors.New("nothing was received")
		}
		if received.Load() >= 2 {
			break
		}
	}
	fmt.Println("the application's own metrics have arrived")
	for _, s := range embedded.supervisors {
		if err := s.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

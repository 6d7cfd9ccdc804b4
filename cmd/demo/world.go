package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/oklog/run"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// world is what surrounds the agent: targets to scrape and a receiver to send to.
type world struct {
	targets  []*toy.Target
	receiver *toy.Receiver
	// arrived is when each target was scraped, and judges count its ticks by that, one for each.
	arrived toy.Targets
	judges  []toy.Judge

	targetURLs  []string
	receiverURL string
	servers     []server
}

type server struct {
	listener net.Listener
	http     *http.Server
}

// newWorld listens on loopback, but does not serve yet.
func newWorld(targets int) (*world, error) {
	w := &world{receiver: &toy.Receiver{Forget: 100}}
	for i := range targets {
		target := &toy.Target{Series: 20 * (i + 1)}
		name := configName(i)
		address, err := w.listen(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			_ = w.arrived.Arrive(name, time.Now())
			target.ServeHTTP(answer, request)
		}))
		if err != nil {
			return nil, err
		}
		w.targets = append(w.targets, target)
		w.judges = append(w.judges, toy.Judge{Interval: interval, Patience: patience, Late: interval / 2})
		w.targetURLs = append(w.targetURLs, address)
	}
	address, err := w.listen(w.receiver)
	if err != nil {
		return nil, err
	}
	w.receiverURL = "http://" + address + "/api/v1/write"
	return w, nil
}

func (w *world) listen(handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for a toy: %w", err)
	}
	w.servers = append(w.servers, server{listener, &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}})
	return listener.Addr().String(), nil
}

// addTo starts and stops the toys with everything else in the group.
func (w *world) addTo(group *run.Group) {
	for _, s := range w.servers {
		group.Add(func() error {
			if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve a toy: %w", err)
			}
			return nil
		}, func(error) {
			_ = s.http.Shutdown(context.Background())
		})
	}
}

// scrapes is the number of scrapes that the targets answered.
func (w *world) scrapes() (total uint64) {
	for _, t := range w.targets {
		total += t.Scrapes()
	}
	return total
}

// ticks are those of the i-th target that were missed and taken twice so far.
func (w *world) ticks(i int, now time.Time) (missed, doubled int) {
	judge, name := &w.judges[i], configName(i)
	judge.Until(name, w.arrived.Arrivals(name), now)
	return judge.Missed, judge.Doubled
}

// reportSeries are the samples that every scrape has beside the target's own: up and what follows it.
const reportSeries = 5

// closing is the account when everything has ended: what the targets gave, against what the
// receiver has.
func (w *world) closing() string {
	given := 0
	for _, t := range w.targets {
		given += int(t.Scrapes()) * (t.Samples() + reportSeries) //nolint:gosec // a demo does not run for ages
	}
	received := int(w.receiver.Totals().Samples) //nolint:gosec // as above
	verdict := "Nothing is missing."
	switch {
	case received < given:
		verdict = fmt.Sprintf("%d less: of scrapes that the end has cut off.", given-received)
	case received > given:
		verdict = fmt.Sprintf("%d more: of scrapes that failed, which have the agent's own samples only.", received-given)
	}
	return fmt.Sprintf("\nThe account: %d scrapes gave %d samples, with the %d that the agent adds to each. The receiver has %d. %s\n",
		w.scrapes(), given, reportSeries, received, verdict)
}

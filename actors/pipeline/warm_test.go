package pipeline

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/scrape"
	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light"
)

// slowToAnswer is an instance with a static job and one whose discovery answers when the channel is
// closed.
func (w *world) slowToAnswer() (c *config.Instance, answer chan struct{}) {
	answer = make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		select {
		case <-answer:
			out.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(out, `[{"targets": [%q], "labels": {"found": "yes"}}]`, w.target.Listener.Addr())
		case <-r.Context().Done():
		}
	}))
	w.t.Cleanup(server.Close)
	text := fmt.Sprintf("scrape_configs:\n- {job_name: fixed, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{targets: [%q]}]}\n"+
		"- {job_name: found, scrape_interval: 100ms, scrape_timeout: 100ms, http_sd_configs: [{url: %q}]}\n", w.target.Listener.Addr(), server.URL)
	return w.parse(text), answer
}

func (w *world) isUp(p *Pipeline, job string) func() bool {
	return func() bool {
		for _, target := range p.Targets(nil) {
			if target.Job == job && target.State == scrape.StateUp {
				return true
			}
		}
		return false
	}
}

func TestJobsStartAsTheirOwnDiscoveriesReport(t *testing.T) {
	w := newWorld(t)
	c, answer := w.slowToAnswer()
	begin := time.Now()
	p := w.open(c)
	require.Less(t, time.Since(begin), warmTime, "it is opened at once")
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(w.isUp(p, "fixed"), "the static job is scraped")
	require.False(t, w.isUp(p, "found")())
	close(answer)
	w.eventually(w.isUp(p, "found"), "the other one is scraped once its discovery has reported")
}

func TestASuccessorFindsItsTargetsWhileTheOtherNodeScrapes(t *testing.T) {
	w := newWorld(t)
	c, answer := w.slowToAnswer()
	time.AfterFunc(50*time.Millisecond, func() { close(answer) })
	opened, err := w.factory.New(t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig(c.Name), Config: c, Warm: true, Failed: func(error) {}})
	require.NoError(t, err)
	require.Len(t, opened.(*Pipeline).Targets(nil), 2)
	require.NoError(t, opened.Close(false))
}

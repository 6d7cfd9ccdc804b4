package pipeline

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alecthomas/units"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// The rule costs about a millisecond a series, and the answers are small: all that uses up the budget
// is the relabelling of remote write.
func TestTheRelabellingOfRemoteWriteIsChargedToTheInstance(t *testing.T) {
	w := newWorld(t)
	var scrapes atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		for i := range 50 { // new series each time, that each are relabelled
			fmt.Fprintf(out, "a{n=\"%d\",i=\"%d\",long=\"%s\"} 1\n", n, i, strings.Repeat("a", 1000))
		}
	}))
	t.Cleanup(target.Close)
	use := func(rules string) *Pipeline {
		text := fmt.Sprintf("scrape_configs:\n- job_name: j\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n  static_configs: [{targets: [%q]}]\n"+
			"remote_write:\n- url: %s\n  queue_config: {batch_send_deadline: 50ms}\n%s", target.Listener.Addr(), w.remote.URL, rules)
		c, err := config.ParseInstance("one", text, config.InstanceOptions{Limits: config.Limits{CPU: 0.02, LabelValueLength: 2000, BodySize: units.MiB}})
		require.NoError(t, err)
		p, err := w.factory.New(t.Context(), actors.PipelineSpec{
			Unit: messages.WholeConfig(c.Name), Config: c, Permit: func() bool { return true }, Failed: func(err error) { t.Error(err) },
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close(true)) })
		return p.(*Pipeline)
	}
	rule := "{source_labels: [long], regex: '(a?){400}(a|b)*c', target_label: x}"
	p := use("  write_relabel_configs: [" + strings.Repeat(rule+", ", 4) + rule + "]\n")
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool {
		for _, r := range p.Refusals() {
			if r.Limit == "cpu" {
				return true
			}
		}
		return false
	}, "the budget is used up")
	require.Less(t, scrapes.Load(), int64(600), "without relabelling it would take longer than a minute")
}

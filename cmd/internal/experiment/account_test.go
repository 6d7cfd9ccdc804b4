package experiment

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// saying is what a node says with metrics.
func saying(t *testing.T, o *Observation, node, metrics string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(strings.ReplaceAll(metrics, "$", "prometheus_remote_storage_")))
	require.NoError(t, err)
	o.addEndpoints(node, families)
}

const (
	wellEndpoint = `$samples_committed_total{instance_name="app[slice 1]",remote_name="r",url="u"} 21
$samples_total{instance_name="app[slice 1]",remote_name="r",url="u"} 10
$histograms_total{instance_name="app[slice 1]",remote_name="r",url="u"} 1
$samples_failed_total{instance_name="app[slice 1]",remote_name="r",url="u"} 2
$samples_dropped_total{instance_name="app[slice 1]",remote_name="r",url="u",reason="old"} 3
$samples_dropped_total{instance_name="app[slice 1]",remote_name="r",url="u",reason="damaged"} 4
$samples_pending{instance_name="app[slice 1]",remote_name="r",url="u"} 1
$highest_timestamp_in_seconds{instance_name="app[slice 1]",remote_name="r",url="u"} 1007
$queue_highest_sent_timestamp_seconds{instance_name="app[slice 1]",remote_name="r",url="u"} 1000
`
	illEndpoint = `$samples_committed_total{instance_name="ill",remote_name="r",url="u"} 9
$samples_total{instance_name="ill",remote_name="r",url="u"} 8
$samples_pending{instance_name="ill",remote_name="r",url="u"} 0
`
)

func TestTheAccountOfEachEndpointIsAddedUp(t *testing.T) {
	var o Observation
	saying(t, &o, "a", wellEndpoint)
	require.Equal(t, 1, o.Accounts)
	require.Zero(t, o.Unbalanced, o.Imbalance)
	require.Equal(t, 7.0, o.Lag)
	require.Equal(t, map[sender]int{{"a", "app"}: 11}, o.sent, "slices are of one config")
	saying(t, &o, "b", illEndpoint)
	require.Equal(t, 2, o.Accounts)
	require.Equal(t, 1, o.Unbalanced)
	require.Equal(t, "ill to r u on b has committed 9 samples and accounts for 8", o.Imbalance)
	require.Equal(t, 7.0, o.Lag, "one that waits for nothing is not behind")
	saying(t, &o, "c", `$samples_pending{instance_name="new",remote_name="r",url="u"} 5`+"\n")
	require.Equal(t, -1.0, o.Lag, "it has sent nothing yet")
}

func TestWhatAgentsCountAsSentHasArrived(t *testing.T) {
	var a account
	look := func(sent, received int) Observation {
		o := Observation{sent: map[sender]int{{"a", "app"}: sent, {"a", "elsewhere"}: 1000}, received: map[string]int{"app": received}}
		a.compare(&o)
		return o
	}
	require.Zero(t, look(10, 10).Unbalanced)
	require.Zero(t, look(20, 25).Unbalanced, "an answer was lost")
	require.Zero(t, look(5, 25).Unbalanced, "the process has ended, and another one counts from 0")
	o := look(6, 25)
	require.Equal(t, 1, o.Unbalanced)
	require.Equal(t, "agents have sent 26 samples of app, and the receiver has 25", o.Imbalance)
}

func TestLagAndBalanceAreHypotheses(t *testing.T) {
	for want, at := range map[string]func(time.Duration) Observation{
		"the hypothesis holds": func(time.Duration) Observation { return Observation{Accounts: 1, Lag: 9} },
		"an endpoint is 11s behind, at most 10s is allowed": func(d time.Duration) Observation {
			return Observation{Accounts: 1, Lag: min(11, d.Seconds())}
		},
		"is not known, since it has sent nothing yet": func(d time.Duration) Observation { return Observation{Accounts: 1, Lag: -min(1, d.Seconds())} },
		"1 accounts of samples don't add up after 3s: app": func(d time.Duration) Observation {
			if d == 3*time.Second { // and at no other time
				return Observation{Accounts: 1, Unbalanced: 1, Imbalance: "app"}
			}
			return Observation{Accounts: 1}
		},
		"no node shows an account of samples": func(time.Duration) Observation { return Observation{} },
		"the samples and ticks of b are not counted": func(d time.Duration) Observation {
			if d > 0 {
				return Observation{Accounts: 1, Silent: []string{"b"}}
			}
			return Observation{Accounts: 1}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{at: at, began: time.Now()}
			text := strings.Replace(story, "{unowned: 0, pending: 10, missed: 5, doubled: 0,", "{lag: 10s, balance: true,", 1)
			e, err := Parse("story.yaml", []byte(text))
			require.NoError(t, err)
			r, err := Run(t.Context(), s, e, func(string) {})
			require.NoError(t, err)
			require.Contains(t, r.Sentence(), want)
			require.Equal(t, want == "the hypothesis holds", r.Holds())
		})
	}
}

func TestCommandsAreProgramsOfOnesOwn(t *testing.T) {
	_, err := ParseCommands("c.yaml", []byte("explode: [true]\nkill: []\n"))
	require.ErrorContains(t, err, `c.yaml: there is no command "explode"`)
	require.ErrorContains(t, err, "c.yaml: kill: give a program")
	c, err := ParseCommands("c.yaml", []byte("kill: [echo, '{node} at {host}; exit 3']\npause: [/bin/sh, -c, 'echo no; exit 3']\n"))
	require.NoError(t, err)
	e, err := Parse("story.yaml", []byte(story))
	require.NoError(t, err)
	require.ErrorContains(t, c.Check(e), "nothing says how to start node b after the kill")
	require.ErrorContains(t, c.Check(e), "nothing says how to resume node c after the pause")
	require.NotContains(t, c.Check(e).Error(), "how to kill")
	host := func() string { return "192.0.2.1" }
	how, err := c.run(t.Context(), "kill", "b", host)
	require.NoError(t, err)
	require.Equal(t, "echo b at 192.0.2.1; exit 3: b at 192.0.2.1; exit 3", how, "no shell reads it")
	_, err = c.run(t.Context(), "pause", "b", host)
	require.ErrorContains(t, err, "exit status 3")
	_, err = c.run(t.Context(), "kill", "b", func() string { return "" })
	require.ErrorContains(t, err, "the address of node b is not known")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.run(ctx, "kill", "b", host)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAllAgentsAreToldThatFaultsEnd(t *testing.T) {
	var told []string
	a := API{
		Bases: func(context.Context) []string { return []string{"a", "b", "c"} },
		Do: func(_ context.Context, base, _, _, _ string) ([]byte, error) {
			if base == "b" {
				return nil, context.DeadlineExceeded
			}
			told = append(told, base)
			return nil, nil
		},
	}
	require.NoError(t, a.Clear(t.Context()), "b has ended, or ends them by itself")
	require.Equal(t, []string{"a", "c"}, told)
	a.Bases = func(context.Context) []string { return []string{"b"} }
	require.Error(t, a.Clear(t.Context()))
}

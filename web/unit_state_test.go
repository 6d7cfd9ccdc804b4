package web_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// twoNodesWith is a cluster in which node-1 has an instance in every phase, claimed by it, by
// nobody, and by node-2, with and without a reason to wait.
func twoNodesWith(t *testing.T) (s http.Handler, units int) {
	t.Helper()
	alive := true
	fake := &fakeCluster{known: true, state: web.ClusterState{Settled: true, Permitted: true, Members: []web.Member{
		{ID: "node-1", State: web.StateActive, Address: "node-1:80", Alive: &alive}, {ID: "node-2", State: web.StateActive, Address: "node-2:80", Alive: &alive},
		{ID: "node-3", State: web.StateActive, Address: "node-3:80", Alive: &alive},
	}}}
	var one, two fakeInstances
	for _, phase := range messages.Phases() {
		for _, claimedBy := range []string{"", "node-1", "node-2", "node-3", "node-9"} {
			for _, hold := range []string{"", "waiting for something"} {
				for _, retryAt := range []time.Time{{}, now.Add(time.Minute)} {
					name := fmt.Sprintf("%s-%s-%t-%t", phase, claimedBy, hold != "", retryAt.IsZero())
					u := web.Unit{Config: name, Owner: "node-1", ClaimedBy: claimedBy, Phase: phase.String(), Hold: hold}
					if claimedBy != "" {
						u.Epoch = 7
					}
					i := web.Instance{Name: name, Phase: phase.String(), Hold: hold, RetryAt: retryAt, Quarantined: phase == messages.PhaseQuarantined}
					fake.state.Units = append(fake.state.Units, u)
					one.instances = append(one.instances, i)
					if claimedBy == "" {
						fake.state.Unowned++
					}
					if claimedBy == "node-2" {
						two.instances = append(two.instances, web.Instance{Name: name, Phase: "running"})
					}
				}
			}
		}
	}
	net := network{}
	for node, instances := range map[string]fakeInstances{"node-1": one, "node-2": two} {
		net[node+":80"] = web.New(web.Options{Node: node, Cluster: fake, Instances: instances, Now: clock, PeerClient: &http.Client{Transport: net}})
	}
	return net["node-1:80"], len(fake.state.Units)
}

func TestAConfigThatHasJustComeIsStartingAndNoReasonForAlarm(t *testing.T) {
	for _, owner := range []string{"node-1", ""} {
		for fresh, want := range map[bool]string{true: "preparing", false: "unowned"} {
			fake := &fakeCluster{state: web.ClusterState{
				Settled: true, Members: []web.Member{{ID: "node-1", State: web.StateActive}},
				Units: []web.Unit{{Config: "a", Owner: owner, Phase: "waiting", New: fresh}},
			}}
			instances := fakeInstances{}
			if owner != "" {
				instances.instances = []web.Instance{{Name: "a", Phase: "waiting"}}
			}
			s := web.New(web.Options{Node: "node-1", Cluster: fake, Instances: instances, Now: clock})
			overview := dataOf[struct {
				Sentence string
				Configs  map[string]int
				Problems []struct{ State string }
			}](t, call(t, s, "GET", "/?format=json", ""))
			require.Equal(t, map[string]int{want: 1}, overview.Configs, "owner %q", owner)
			if fresh {
				require.Contains(t, overview.Sentence, "Nothing is broken, but 1 config is starting.")
				require.Empty(t, overview.Problems)
			} else {
				require.Contains(t, overview.Sentence, "1 config is run by nobody")
				require.Len(t, overview.Problems, 1)
			}
		}
	}
}

var linkedStates = regexp.MustCompile(`<a href="/configs\?state=([a-z]+)">([0-9,]+) ([a-z]+)</a>`)

func TestAllPagesAgreeAboutTheStateOfAUnitInAnyPhase(t *testing.T) {
	s, units := twoNodesWith(t)
	type item struct{ Node, Name, State, Phase string }
	type listed struct {
		Items  []item
		Total  int
		Counts map[string]int
	}
	configs := dataOf[listed](t, call(t, s, "GET", "/configs?format=json&limit=1000", ""))
	overview := dataOf[struct {
		Configs map[string]int
		Unowned int
	}](t, call(t, s, "GET", "/?format=json", ""))
	require.Equal(t, configs.Counts, overview.Configs, "the overview and the list of configs")
	require.Equal(t, configs.Counts["unowned"], overview.Unowned)

	cluster := map[string]int{}
	page := bodyOf(t, call(t, s, "GET", "/cluster", ""))
	for _, found := range linkedStates.FindAllStringSubmatch(page, -1) {
		require.Equal(t, found[1], found[3])
		n, err := strconv.Atoi(strings.ReplaceAll(found[2], ",", ""))
		require.NoError(t, err)
		cluster[found[1]] = n
	}
	require.Equal(t, configs.Counts, cluster, "the page Cluster")

	states := map[string][]string{}
	for _, i := range configs.Items {
		states[i.Name] = append(states[i.Name], i.State)
	}
	require.Len(t, states, units, "every unit is on the list")
	shown := regexp.MustCompile(`<p class="health [a-z]+"><span class="state [a-z]+">([a-z]+)</span>`)
	inTable := regexp.MustCompile(`<td data-label="State"><span class="state [a-z]+">([a-z]+)</span></td><td data-label="By the ring">`)
	for name, all := range states {
		page := bodyOf(t, call(t, s, "GET", "/configs/"+name, ""))
		var onPage []string
		for _, found := range shown.FindAllStringSubmatch(page, -1) {
			onPage = append(onPage, found[1])
		}
		require.ElementsMatch(t, all, onPage, "the page of %s", name)
		unit := inTable.FindStringSubmatch(page)
		require.NotNil(t, unit, name)
		require.Contains(t, all, unit[1], "the units on the page of %s", name)
	}
	for _, i := range configs.Items {
		if i.Node != "node-1" {
			continue
		}
		switch i.Phase {
		case "backoff", "failed":
			require.Equal(t, "failed", i.State, i.Name)
		case "quarantined":
			require.Equal(t, "quarantined", i.State, i.Name)
		case "running":
			require.Equal(t, "running", i.State, i.Name)
		}
	}
}

package clustertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lan is a network of its own: each station is a network namespace with one interface on a common
// bridge. The bridge is in a namespace, too, with the targets, the receiver and this test at it, so
// that nothing of all this is seen from outside. A link between two stations can be cut: then each
// sends what it has for the other to nobody, and is not told.
type lan struct {
	t        *testing.T
	hub      string
	stations map[string]station
}

type station struct{ namespace, address, hardware string }

const (
	// hubAddress is that of the test itself; stations come behind it.
	hubAddress = "10.77.0.1"
	prefixLen  = "/24"
	// nowhere is the hardware address of no station.
	nowhere = "02:77:00:00:ff:ff"
)

// newLAN makes the network, or skips the test where that is not allowed.
func newLAN(t *testing.T, names ...string) *lan {
	t.Helper()
	l := &lan{t: t, hub: fmt.Sprintf("rm%d-hub", os.Getpid()), stations: map[string]station{}}
	if out, err := exec.Command("ip", "netns", "add", l.hub).CombinedOutput(); err != nil {
		t.Skipf("this row needs network namespaces, and so root and iproute2 (%v: %s); see task cluster", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", l.hub).Run() })
	l.ip(l.hub, "link set lo up")
	l.ip(l.hub, "link add lan type bridge")
	l.ip(l.hub, "link set lan up")
	l.ip(l.hub, "addr add "+hubAddress+prefixLen+" dev lan")
	for i, name := range names {
		s := station{
			namespace: fmt.Sprintf("rm%d-%s", os.Getpid(), name), address: fmt.Sprintf("10.77.0.%d", i+2), hardware: fmt.Sprintf("02:77:00:00:00:%02x", i+2),
		}
		l.stations[name] = s
		require.NoError(t, exec.Command("ip", "netns", "add", s.namespace).Run())
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", s.namespace).Run() })
		port := fmt.Sprintf("port%d", i)
		l.ip(l.hub, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, s.namespace))
		l.ip(l.hub, "link set "+port+" master lan up")
		l.ip(s.namespace, "link set eth0 address "+s.hardware)
		l.ip(s.namespace, "link set lo up")
		l.ip(s.namespace, "link set eth0 up")
		l.ip(s.namespace, "addr add "+s.address+prefixLen+" dev eth0")
	}
	return l
}

func (l *lan) ip(namespace, command string) {
	l.t.Helper()
	out, err := exec.Command("ip", append([]string{"-n", namespace}, strings.Fields(command)...)...).CombinedOutput()
	require.NoError(l.t, err, "ip %s: %s", command, out)
}

// command runs a program at a station.
func (l *lan) command(name string, program ...string) []string {
	return append([]string{"ip", "netns", "exec", l.stations[name].namespace}, program...)
}

// divide cuts every link between stations of different groups, and heals all others.
func (l *lan) divide(groups ...[]string) {
	l.t.Helper()
	together := func(a, b string) bool {
		for _, g := range groups {
			if slices.Contains(g, a) {
				return slices.Contains(g, b)
			}
		}
		return false
	}
	for a, from := range l.stations {
		for b, to := range l.stations {
			hardware := to.hardware
			if a == b {
				continue
			}
			if len(groups) > 0 && !together(a, b) {
				hardware = nowhere
			}
			l.ip(from.namespace, fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", to.address, hardware))
		}
	}
}

// heal makes the network whole.
func (l *lan) heal() { l.divide() }

// listen listens at the hub, where every station reaches it whatever is cut.
func (l *lan) listen() net.Listener {
	l.t.Helper()
	var listener net.Listener
	var err error
	l.atHub(func() { listener, err = net.Listen("tcp", net.JoinHostPort(hubAddress, "0")) })
	require.NoError(l.t, err)
	return listener
}

// dial connects from the hub.
func (l *lan) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	l.atHub(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
	return conn, err
}

// atHub runs f on a thread that is in the hub's namespace: a socket belongs to the namespace in
// which it was made. The thread ends with it.
func (l *lan) atHub(f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that nobody else gets the thread
		hub, err := os.Open(filepath.Join("/var/run/netns", l.hub))
		if err == nil {
			err = unix.Setns(int(hub.Fd()), unix.CLONE_NEWNET)
			_ = hub.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	require.NoError(l.t, <-done)
}

// onLAN is a cluster whose nodes and store are stations of a network that can be divided, with its
// configs, at rest. The store is the station "store".
func onLAN(t *testing.T, whenIsolated string, names ...string) *clusterUnderTest {
	t.Helper()
	program := etcdProgram(t)
	c := clusterWithoutStore(t)
	c.isolated = whenIsolated
	c.lan = newLAN(t, append(slices.Clone(names), "store")...)
	c.lan.heal()
	c.serve(c.lan.listen())
	address := c.lan.stations["store"].address
	c.etcd = &etcdServer{
		t: t, program: c.lan.command("store", program), directory: c.directory, address: address + ":2379", peer: address + ":2380",
		client: &http.Client{Transport: &http.Transport{DialContext: c.lan.dial}},
	}
	c.etcd.start()
	t.Cleanup(c.etcd.kill)
	c.startAll(names...)
	c.populate(names...)
	return c
}

// cuts are all ways to divide three nodes and the store in two, and the halves of four.
var cuts = [][][]string{
	{{"a"}, {"b", "c", "store"}},
	{{"b"}, {"a", "c", "store"}},
	{{"c"}, {"a", "b", "store"}},
	{{"a", "b"}, {"c", "store"}},
	{{"a", "c"}, {"b", "store"}},
	{{"b", "c"}, {"a", "store"}},
	{{"a", "b", "c"}, {"store"}},
}

// Each cut is a new one in the same cluster, at rest before.
func TestNoCutOfTheNetworkMakesTwoNodesScrapeOneTarget(t *testing.T) {
	onlyFull(t)
	c := onLAN(t, "stop", "a", "b", "c")
	for _, groups := range cuts {
		t.Run(nameOf(groups), func(t *testing.T) { c.cutRow(t, groups, "a", "b", "c") })
	}
}

func TestTheHalvesOfFourNodesDoNotScrapeOneTarget(t *testing.T) {
	onlyFull(t)
	c := onLAN(t, "stop", "a", "b", "c", "d")
	for _, groups := range [][][]string{
		{{"a", "b"}, {"c", "d", "store"}}, {{"a", "c"}, {"b", "d", "store"}}, {{"a", "d"}, {"b", "c", "store"}},
		{{"c", "d"}, {"a", "b", "store"}}, {{"b", "d"}, {"a", "c", "store"}}, {{"b", "c"}, {"a", "d", "store"}},
	} {
		t.Run(nameOf(groups), func(t *testing.T) { c.cutRow(t, groups, "a", "b", "c", "d") })
	}
}

func nameOf(groups [][]string) string {
	var sides []string
	for _, g := range groups {
		sides = append(sides, strings.Join(g, "+"))
	}
	return strings.Join(sides, " from ")
}

// cutRow divides the network for a while, and measures.
func (c *clusterUnderTest) cutRow(t *testing.T, groups [][]string, names ...string) {
	measured(t, nameOf(groups)+" cut for 30 s, when_isolated: stop", "no tick taken by two nodes; nothing unscraped when it is over", func(r *row) {
		c.t = t
		began := time.Now()
		c.lan.divide(groups...)
		c.logf("the network is divided: %v", groups)
		pause(stall)
		c.lan.heal()
		healed := time.Now()
		c.logf("the network is whole")
		c.settle(names...)
		m := c.measure(began, c.configs)
		gap, _ := c.longestGap(began)
		r.measured = fmt.Sprintf("%d ticks; the longest time without a scrape of a target: %s; all scraped and at rest %s after the end; %s",
			m.due, sec(gap), sec(time.Since(healed)), m.ticks())
		m.wantsNoTwoNodes(r)
		if slices.Contains(groups[1], "store") && len(groups[1]) == 1 {
			// When it is over, the sessions have run out, and everybody claims anew.
			missed := c.missedIn(began, healed.Add(-c.interval))
			r.measured += fmt.Sprintf("; missed while it lasted: %d", missed)
			r.wants(missed == 0, "%d ticks missed though nobody could take over", missed)
		}
	})
}

func TestAMinorityForgetsNoMemberThatTheMajoritySees(t *testing.T) {
	onlyFull(t)
	measured(t, "Forget of b at a, with a and the store cut off from b and c", "refused or without effect; no tick taken by two nodes", func(r *row) {
		c := onLAN(t, "stop", "a", "b", "c")
		began := time.Now()
		c.lan.divide([]string{"a", "store"}, []string{"b", "c"})
		pause(4 * time.Second) // a takes b for dead
		err := c.nodes["a"].Forget(t.Context(), "b")
		c.logf("Forget: %v", err)
		pause(4 * time.Second) // less than b's session lives
		c.lan.heal()
		c.settle("a", "b", "c")
		m := c.measure(began, c.configs)
		r.measured = fmt.Sprintf("the answer: %v; %s", err, m.ticks())
		m.wantsNoTwoNodes(r)
	})
}

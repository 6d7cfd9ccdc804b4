package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The nodes of a cluster are upgraded one after the other, in their directories, and then taken
// back, as in docs/operations.md. Both versions run on one store meanwhile and hand configs over to
// each other, also at a join and a leave.
func TestTwoVersionsHandOverToEachOther(t *testing.T) {
	if *before == "" {
		t.Skip("this row needs an agent of the version before; task versions builds one of the commit in .ci/before and passes it with -before")
	}
	if *embedded {
		t.Skip("the embedded quorum has a fixed list of members")
	}
	c := clusterOf(t, *before, "a", "b")
	c.populate("a", "b")
	for _, step := range []struct {
		name string
		do   func()
		then []string
	}{
		{"a node of this version joins the old ones", func() { c.start("c"); c.awaitReady("c") }, []string{"a", "b", "c"}},
		{"it leaves", func() { c.stop("c") }, []string{"a", "b"}},
		{"a is upgraded", func() { c.swap("a", agentProgram(t)) }, []string{"a", "b"}},
		{"b is upgraded", func() { c.swap("b", agentProgram(t)) }, []string{"a", "b"}},
		{"a is taken back", func() { c.swap("a", *before) }, []string{"a", "b"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			measured(t, "two versions: "+step.name, "0 missed, 0 doubled ticks", func(r *row) {
				c.t = t
				began := time.Now()
				step.do()
				c.settle(step.then...)
				c.handedOver(r, c.measure(began, c.configs))
			})
		})
	}
}

// clusterOf is a cluster on etcd whose nodes run another program than this module's; those that are
// started later run this module's.
func clusterOf(t *testing.T, program string, names ...string) *clusterUnderTest {
	t.Helper()
	c := newCluster(t)
	for _, name := range names {
		c.program = program
		c.start(name)
	}
	c.program = ""
	c.awaitReady(names...)
	return c
}

// swap stops a node, and starts another program with its directory, name and address.
func (c *clusterUnderTest) swap(name, program string) {
	c.t.Helper()
	c.stop(name)
	require.NoError(c.t, c.nodes[name].RunAs(program))
	c.start(name)
	c.awaitReady(name)
}

func (c *clusterUnderTest) handedOver(r *row, m measurement) {
	require.NotEmpty(c.t, m.moves, "nothing has moved")
	r.measured = fmt.Sprintf("%d ticks, %d moves: %s", m.due, len(m.moves), m.ticks())
	c.wantsWhole(r, m)
}

package gossip

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNamesThatTheStoreDoesNotKnowAreLetInForAWhileOnly(t *testing.T) {
	now := time.Now()
	a := newAdmission("self")
	for i := range maxUnlisted {
		require.NoError(t, a.admit(fmt.Sprint("early", i), now), "before the store was listed")
	}
	require.ErrorIs(t, a.admit("one more", now), errStranger)

	a.name(map[string]string{"self": "x", "friend": "y", "early1": "z"})
	require.NoError(t, a.admit("self", now.Add(time.Hour)))
	require.NoError(t, a.admit("friend", now.Add(time.Hour)))
	require.NoError(t, a.admit("early1", now.Add(time.Hour)))
	require.NoError(t, a.admit("early2", now.Add(strangerGrace-1)))
	require.ErrorIs(t, a.admit("early2", now.Add(strangerGrace)), errStranger, "its grace is over")
	a.name(map[string]string{"early2": "x"})
	require.NoError(t, a.admit("early2", now.Add(strangerGrace)), "its record has come")
	require.NoError(t, a.admit("friend", now.Add(time.Hour)), "the store knew it once: it may have been away")

	later := now.Add(3 * strangerGrace)
	in := 0
	for i := range 1000 {
		if a.admit(fmt.Sprint("ghost", i), later) == nil {
			in++
		}
	}
	require.Equal(t, maxStrangers, in)
	require.NoError(t, a.admit("joiner", later.Add(2*strangerGrace)), "there is room again")
}

// aliveMessage is memberlist's message that a node of this name is alive, in MessagePack, as one
// who has no key can make it.
func aliveMessage(name string, ip net.IP) []byte {
	text := func(s string) []byte { return append([]byte{0xd9, byte(len(s))}, s...) }
	b := []byte{4, 0x86}
	b = append(append(b, text("Incarnation")...), 1)
	b = append(append(b, text("Node")...), text(name)...)
	b = append(append(b, text("Addr")...), text(string(ip.To4()))...)
	b = append(append(b, text("Port")...), 0xcd, 0x1f, 0x0a)
	b = append(append(b, text("Meta")...), text("")...)
	return append(append(b, text("Vsn")...), text(string([]byte{1, 5, 2, 0, 0, 0}))...)
}

func TestThousandsOfGhostsAreNotLetIn(t *testing.T) {
	inVirtualTime(t, 3, func(v *virtual) {
		forger := v.network.Join()
		defer func() { require.NoError(t, forger.Shutdown()) }()
		victim := v.nodes[0]
		for i := range 5000 {
			_, err := forger.WriteTo(aliveMessage(fmt.Sprint("ghost-", i), net.IPv4(10, 9, byte(i/250), byte(i%250))), victim.Address())
			require.NoError(t, err)
			if i%50 == 49 {
				pass(10 * time.Millisecond)
			}
		}
		pass(time.Second)
		for _, g := range v.nodes {
			require.LessOrEqual(t, len(g.Peers()), 2+maxStrangers)
		}
		require.Greater(t, victim.admission.count(), 4000, "the messages were understood, and refused")
		kept := victim.log.FilterMessage("names that the store does not know are kept out of gossip").Len()
		require.Positive(t, kept)
		require.LessOrEqual(t, kept, 3, "one line a minute")

		v.add("joiner")
		v.nameAll()
		v.within(5*time.Second, "who has a record is let in at once", func() bool {
			return v.everyone(func(g node) bool { return g.sees("joiner") || g.node == "joiner" })
		})
		pass(5 * time.Minute)
		require.Equal(t, 3, victim.living(), "the ghosts that were let in are dead")
	})
}

func (n node) sees(name string) bool {
	return slices.ContainsFunc(n.Peers(), func(p Peer) bool { return p.Node == name && p.Alive })
}

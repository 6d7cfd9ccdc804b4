package gossip

import (
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestAnAnnouncementThatWouldBeTooLongGoesWithoutItsSession(t *testing.T) {
	for _, session := range []string{strings.Repeat("x", maxSessionBytes+1), strings.Repeat("\x01", maxSessionBytes)} {
		meta, err := announcement{Session: session, ReachesStore: true, Fenced: true, Leaving: true, Process: math.MaxUint32, Number: math.MaxUint64}.encode()
		require.Error(t, err)
		said, err := decodeAnnouncement(meta)
		require.NoError(t, err)
		require.Equal(t, Status{ReachesStore: true, Fenced: true}, said.status())
		require.True(t, said.Leaving)
	}
	meta, err := announcement{
		Session: strings.Repeat("x", maxSessionBytes), ReachesStore: true, Fenced: true, Leaving: true, Process: math.MaxUint32, Number: math.MaxUint64, AwaySince: math.MinInt64,
	}.encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(meta), memberlist.MetaMaxSize)
}

func TestAnAnswerCountsThoughWhatItSaysIsOfANewerVersion(t *testing.T) {
	for _, said := range []string{`{"v":2,"s":{"id":"x"}}`, `{"v":2}`, `[]`, `null`, `{"v":1,"s":7}`} {
		m, err := decodeMessage([]byte(`{"v":1,"k":"answer","from":"b","n":7,"said":` + said + `}`))
		require.NoError(t, err, said)
		require.Equal(t, message{Version: 1, Kind: answer, From: "b", Nonce: 7}, m, said)
	}
}

func FuzzDecodeAnnouncement(f *testing.F) {
	for _, seed := range []string{`{"v":1,"s":"694d","r":true,"f":true,"l":true}`, `{"v":1}`, `{"v":2,"s":{}}`, "", "\xff", `{"v":1,"s":"\u0001"}`, "null"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		said, err := decodeAnnouncement(meta)
		if err != nil {
			require.Zero(t, said, "what can't be understood claims nothing")
			return
		}
		again, err := said.encode()
		require.LessOrEqual(t, len(again), memberlist.MetaMaxSize)
		if err == nil {
			same, err := decodeAnnouncement(again)
			require.NoError(t, err)
			require.Equal(t, said, same)
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range []message{
		{Kind: ask, From: "a", Nonce: 1<<64 - 1}, {Kind: answer, From: "b", Nonce: 1}, {Kind: answer, From: "b", Said: announced{announcement{Version: 1, Process: 1, Number: 2, Session: "s"}}},
		{Kind: answer, From: "b", Said: announced{announcement{Version: 2, Fenced: true}}}, {Kind: clash, From: "c", Name: "a", Address: "[::1]:7946"}, {Kind: "other", From: "d"},
	} {
		f.Add(m.encode())
	}
	f.Add([]byte(`{"v":1,"k":"ask"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeMessage(text)
		if err != nil {
			require.Zero(t, m)
			return
		}
		require.NotEmpty(t, m.From)
		same, err := decodeMessage(m.encode())
		require.NoError(t, err)
		require.Equal(t, m, same)
	})
}

func FuzzLogLine(f *testing.F) {
	for _, seed := range []string{"[ERR] memberlist: x from=1.2.3.4:5\n", "[", "] ", "", "Err: y", "[ERR] memberlist: Decrypt packet failed: no from="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		n := newNotes(zap.NewNop())
		written, err := n.Write([]byte(line))
		require.NoError(t, err)
		require.Equal(t, len(line), written)
	})
}

func TestMemberlistsLogIsQuietAboutWhatIsNormalAndSaysTheRestOnceAMinute(t *testing.T) {
	lines := []struct {
		line    string
		message string // empty: nothing above debugging
		address any
	}{
		{"[DEBUG] memberlist: Stream connection from=127.0.0.1:1", "", nil},
		{"[INFO] memberlist: Suspect n1 has failed, no acks received", "", nil},
		{"[ERR] memberlist: Push/Pull with n1 failed: EOF", "", nil},
		{"[ERR] memberlist: failed to receive: read tcp: connection reset by peer from=10.0.0.1:5", "", nil},
		{"[ERR] memberlist: Conflicting address for n1. Mine: 1 Theirs: 2 Old state: 0", "", nil},
		{"[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=10.0.0.1:5", "gossip peer can't be decrypted", "10.0.0.1:5"},
		{"[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=10.0.0.1:6", "", nil},
		{"[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.2:6", "gossip peer can't be decrypted", "10.0.0.2:6"},
		{`[ERR] memberlist: discarding packet with unacceptable label "x": from=10.0.0.3:1`, "a node of another cluster", "10.0.0.3:1"},
		{"[WARN] memberlist: Refuting a suspect message (from: n3)", "memberlist warns", nil},
		{"[WARN] memberlist: Refuting a suspect message (from: n4)", "", nil},
		{"[WARN] memberlist: Refuting a dead message (from: n4)", "memberlist warns", nil},
		{"[WARN] memberlist: Binding to public address without encryption!", "memberlist warns", nil},
		{"Err: Could not set the deadline: x", "memberlist warns", nil},
	}
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zapcore.InfoLevel)
		n := newNotes(zap.New(core))
		for range 2 {
			for _, l := range lines {
				_, err := n.Write([]byte(l.line + "\n"))
				require.NoError(t, err)
				n.flush()
				said := log.TakeAll()
				if l.message == "" {
					require.Empty(t, said, l.line)
					continue
				}
				require.Len(t, said, 1, l.line)
				require.Contains(t, said[0].Message, l.message)
				require.Equal(t, l.address, said[0].ContextMap()["address"], l.line)
			}
			<-time.After(repeatAfter)
		}
		for range 2 * maxNotes {
			n.add(zapcore.WarnLevel, "full")
		}
		n.flush()
		require.Equal(t, maxNotes, log.Len(), "what nobody takes is lost, nobody waits")
	})
}

func TestTheSkewOfAPeersClockIsMeasured(t *testing.T) {
	sent := time.Unix(1_000_000, 0)
	ahead, known := skew(sent, sent.Add(100*time.Millisecond), sent.Add(time.Hour+50*time.Millisecond).UnixMilli())
	require.True(t, known)
	require.Equal(t, time.Hour, ahead)
	_, known = skew(sent, sent.Add(time.Second), sent.UnixMilli())
	require.False(t, known, "an answer that took long says little")
	_, known = skew(sent, sent, 0)
	require.False(t, known, "a node of a version before says nothing")

	peers := newTable("a", newNotes(zap.NewNop()))
	peers.seen(&memberlist.Node{Name: "b", Addr: net.IPv4(127, 0, 0, 1)})
	peers.seen(&memberlist.Node{Name: "c", Addr: net.IPv4(127, 0, 0, 1)})
	peers.answered("b", sent, -time.Hour, true)
	peers.answered("c", sent, time.Minute, true)
	peers.answered("b", sent.Add(-time.Second), 0, false)
	node, ahead := peers.skew()
	require.Equal(t, "b", node)
	require.Equal(t, -time.Hour, ahead)
	require.Equal(t, sent, peers.list()[0].Answered, "an older answer takes nothing back")
}

func TestEachPeerHasItsTurnWithinAFewRounds(t *testing.T) {
	peers := newTable("a", newNotes(zap.NewNop()))
	for i := range 40 {
		peers.seen(&memberlist.Node{Name: fmt.Sprintf("n%02d", i), Addr: net.IPv4(127, 0, 0, 1)})
	}
	asked, last := map[string]bool{}, ""
	for range roundsPerTurn {
		for _, p := range peers.next(last, askedPerRound, roundsPerTurn) {
			asked[p.Node], last = true, p.Node
		}
	}
	require.Len(t, asked, 40)
}

package cluster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func recordSeeds(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"node":"a","state":"ACTIVE","tokens":[1,2],"since":"2026-01-01T00:00:00Z"}`, `{"v":1,"node":"a","released":true,"handover":"ticks"}`,
		`{"v":1,"node":"b","state":"LEAVING"}`, `{"v":2,"node":{}}`, `{"v":-1}`, `{"v":1,"node":""}`, `null`, `[]`, `{"V":1,"NODE":"a"}`, "", "\x00",
		`{"v":1,"node":"a"}{}`, `{"v":1e3}`, `{"v":1,"since":"yesterday","node":"a"}`,
	} {
		f.Add([]byte(seed))
	}
}

// A member is whole, and is the same when it is written again; or it is a problem and nothing else.
func FuzzDecodeMember(f *testing.F) {
	recordSeeds(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		m := decodeMember("a", Entry{Key: "members/a", Value: value, Revision: 3, Session: "s"})
		if m.Problem != "" {
			require.Equal(t, messages.Member{Node: "a", Session: "s", Revision: 3, Problem: m.Problem}, m)
			return
		}
		require.Equal(t, "a", m.Node)
		require.NotEqual(t, "UNKNOWN", m.State.String())
		again, err := json.Marshal(memberRecord{
			Version: recordVersion, Node: m.Node, Address: m.Address, Scheme: m.Scheme, Gossip: m.Gossip, Zone: m.Zone, State: m.State.String(),
			Tokens: tokensOf(m), Settings: m.Settings, Program: m.Version, Since: m.Since,
		})
		if err != nil {
			require.ErrorContains(t, err, "year") // a time that JSON can read and not write
			return
		}
		back := decodeMember("a", Entry{Key: "members/a", Value: again, Revision: 3, Session: "s"})
		require.True(t, m.Since.Equal(back.Since))
		m.Since, back.Since = time.Time{}, time.Time{}
		m.Tokens, back.Tokens = messages.NewList(tokensOf(m)...), messages.NewList(tokensOf(back)...)
		require.Equal(t, m, back)
	})
}

// A claim names a node, or it is a problem and nothing else; in either case it is held unless it
// says that it is released.
func FuzzDecodeClaim(f *testing.F) {
	recordSeeds(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		unit := messages.Unit{Config: "app", Slice: 1}
		e := Entry{Key: "claims/x", Value: value, Revision: 3, Session: "s"}
		c := decodeClaim(unit, e)
		intent, readable := decodeIntent(unit, e)
		require.Equal(t, c.Problem == "", readable, "claims and intents have one format")
		require.Equal(t, !c.Released, c.Held())
		if c.Problem != "" {
			require.Equal(t, messages.Claim{Unit: unit, Session: "s", Revision: 3, Problem: c.Problem}, c)
			require.Equal(t, messages.Intent{}, intent)
			return
		}
		require.NotEmpty(t, c.Node)
		require.Equal(t, messages.Intent{Unit: unit, Node: c.Node, Session: "s", Revision: 3, Since: c.Since}, intent)
	})
}

// Whatever the key, it is about nobody, or about what has just this key.
func FuzzSubject(f *testing.F) {
	for _, key := range []string{"members/a", "claims/app", "claims/app\x1f1\x1f0", "intents/a/b", "members", "", "claims/\x1f", "configurations/app"} {
		f.Add("collectors/", key)
		f.Add("", key)
	}
	f.Fuzz(func(t *testing.T, prefix, key string) {
		r := NewRegistry(nil, prefix)
		about, ok := r.subject(prefix + key)
		if !ok {
			require.Nil(t, r.decode(Entry{Key: prefix + key, Revision: 1}))
			require.Nil(t, r.gone(Entry{Key: prefix + key, Revision: 1}))
			return
		}
		switch about.folder {
		case membersFolder:
			require.Equal(t, key, membersFolder+about.name)
		default:
			require.Equal(t, prefix+key, r.key(messages.Record{Unit: about.unit, Intent: about.folder == intentsFolder}))
		}
	})
}

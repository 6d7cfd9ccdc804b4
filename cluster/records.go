package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// memberRecord is a member's value in the store.
type memberRecord struct {
	Version int    `json:"v"`
	Node    string `json:"node"`
	// Incarnation was not there in the first agents of this version; it is empty then.
	Incarnation string    `json:"incarnation,omitempty"`
	Address     string    `json:"address"`
	Scheme      string    `json:"scheme,omitempty"`
	Gossip      string    `json:"gossip,omitempty"`
	Zone        string    `json:"zone,omitempty"`
	State       string    `json:"state"`
	Tokens      []uint32  `json:"tokens"`
	Settings    string    `json:"settings,omitempty"`
	Program     string    `json:"program,omitempty"`
	Unfit       string    `json:"unfit,omitempty"`
	Declines    []string  `json:"declines,omitempty"`
	Cordoned    bool      `json:"cordoned,omitempty"`
	Since       time.Time `json:"since"`
}

// unitRecord is a claim's or an intent's value in the store. The key says which unit it is about.
type unitRecord struct {
	Version     int       `json:"v"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation,omitempty"`
	Since       time.Time `json:"since"`
	Released    bool      `json:"released,omitempty"`
	Handover    string    `json:"handover,omitempty"`
}

func tokensOf(m messages.Member) []uint32 {
	tokens := make([]uint32, 0, m.Tokens.Len())
	for t := range m.Tokens.All() {
		tokens = append(tokens, t)
	}
	return tokens
}

func decodeMember(node string, e Entry) messages.Member {
	m := messages.Member{Node: node, Session: e.Session, Revision: e.Revision}
	var record memberRecord
	if err := decodeRecord(e, &record, &record.Version); err != nil {
		m.Problem = err.Error()
		return m
	}
	state, ok := parseMemberState(record.State)
	switch {
	case record.Node != node:
		m.Problem = fmt.Sprintf("the record at %q is that of node %q", e.Key, record.Node)
	case !ok:
		m.Problem = fmt.Sprintf("the record at %q has the unknown state %q", e.Key, record.State)
	default:
		m.Incarnation, m.Address, m.Scheme, m.Gossip, m.Zone, m.State = record.Incarnation, record.Address, record.Scheme, record.Gossip, record.Zone, state
		m.Tokens, m.Settings, m.Version, m.Since = messages.NewList(record.Tokens...), record.Settings, record.Program, record.Since
		m.Unfit, m.Declines, m.Cordoned = record.Unfit, messages.NewList(record.Declines...), record.Cordoned
	}
	return m
}

func parseMemberState(text string) (messages.MemberState, bool) {
	for _, s := range []messages.MemberState{messages.Joining, messages.Active, messages.Leaving} {
		if s.String() == text {
			return s, true
		}
	}
	return 0, false
}

func decodeClaim(unit messages.Unit, e Entry) messages.Claim {
	c := messages.Claim{Unit: unit, Session: e.Session, Revision: e.Revision}
	var record unitRecord
	err := decodeRecord(e, &record, &record.Version)
	if err == nil && record.Node == "" {
		err = fmt.Errorf("the record at %q names no node", e.Key)
	}
	if err != nil {
		c.Problem = err.Error() + "; if no agent of that version runs, delete the key"
		return c
	}
	c.Node, c.Incarnation, c.Since, c.Released, c.Handover = record.Node, record.Incarnation, record.Since, record.Released, messages.Handover(record.Handover)
	return c
}

// decodeIntent reports false if the intent can't be read.
func decodeIntent(unit messages.Unit, e Entry) (messages.Intent, bool) {
	var record unitRecord
	if decodeRecord(e, &record, &record.Version) != nil || record.Node == "" {
		return messages.Intent{}, false
	}
	return messages.Intent{Unit: unit, Node: record.Node, Incarnation: record.Incarnation, Session: e.Session, Revision: e.Revision, Since: record.Since}, true
}

// decodeRecord reads a value; version points into record.
func decodeRecord(e Entry, record any, version *int) error {
	err := json.Unmarshal(e.Value, record)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the record at %q is not JSON: %w", e.Key, err)
	case *version > recordVersion: // also if its fields are of other types
		return fmt.Errorf("the record at %q has version %d, and this program reads up to version %d", e.Key, *version, recordVersion)
	case err != nil:
		return fmt.Errorf("read the record at %q: %w", e.Key, err)
	case *version < 1:
		return fmt.Errorf("the record at %q has no version", e.Key)
	default:
		return nil
	}
}

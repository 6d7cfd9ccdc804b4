package lastknown

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// revisionBytes precede a config's text.
const revisionBytes = 8

func encodeDocument(d messages.Document) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, revisionBytes+len(d.Text)), uint64(d.Revision))
	return append(value, string(d.Text)...)
}

func decodeDocument(name string, value []byte) (messages.Document, bool) {
	if len(value) < revisionBytes {
		return messages.Document{}, false
	}
	revision := int64(binary.BigEndian.Uint64(value))
	return messages.Document{Name: name, Revision: revision, Text: messages.Text(value[revisionBytes:])}, revision > 0
}

// clusterValue is Cluster as JSON.
type clusterValue struct {
	Session     string        `json:"session"`
	Incarnation string        `json:"incarnation,omitempty"`
	Renewed     time.Time     `json:"renewed,omitzero"`
	Revision    int64         `json:"revision"`
	Members     []memberValue `json:"members"`
	Claims      []claimValue  `json:"claims"`
}

type memberValue struct {
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation,omitempty"`
	Address     string    `json:"address"`
	Scheme      string    `json:"scheme,omitempty"`
	Gossip      string    `json:"gossip,omitempty"`
	Zone        string    `json:"zone,omitempty"`
	State       uint8     `json:"state"`
	Tokens      []uint32  `json:"tokens"`
	Settings    string    `json:"settings,omitempty"`
	Version     string    `json:"version,omitempty"`
	Since       time.Time `json:"since"`
	Session     string    `json:"session"`
	Revision    int64     `json:"revision"`
}

type claimValue struct {
	Unit        string    `json:"unit"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation,omitempty"`
	Session     string    `json:"session"`
	Revision    int64     `json:"revision"`
	Since       time.Time `json:"since"`
}

func encodeCluster(c Cluster) clusterValue {
	out := clusterValue{Session: c.Session, Incarnation: c.Incarnation, Renewed: c.Renewed.UTC(), Revision: c.Revision}
	for _, m := range c.Members {
		tokens := make([]uint32, 0, m.Tokens.Len())
		for t := range m.Tokens.All() {
			tokens = append(tokens, t)
		}
		out.Members = append(out.Members, memberValue{
			Node: m.Node, Incarnation: m.Incarnation, Address: m.Address, Scheme: m.Scheme, Gossip: m.Gossip, Zone: m.Zone, State: uint8(m.State),
			Tokens: tokens, Settings: m.Settings, Version: m.Version, Since: m.Since, Session: m.Session, Revision: m.Revision,
		})
	}
	for _, claim := range c.Claims {
		out.Claims = append(out.Claims, claimValue{
			Unit: claim.Unit.Key(), Node: claim.Node, Incarnation: claim.Incarnation, Session: claim.Session, Revision: claim.Revision, Since: claim.Since,
		})
	}
	return out
}

// decodeCluster returns nothing for what it can't read.
func decodeCluster(value []byte) Cluster {
	var in clusterValue
	if json.Unmarshal(value, &in) != nil {
		return Cluster{}
	}
	out := Cluster{Session: in.Session, Incarnation: in.Incarnation, Renewed: in.Renewed, Revision: in.Revision}
	for _, m := range in.Members {
		if m.Node == "" || m.State > uint8(messages.Leaving) {
			continue
		}
		out.Members = append(out.Members, messages.Member{
			Node: m.Node, Incarnation: m.Incarnation, Address: m.Address, Scheme: m.Scheme, Gossip: m.Gossip, Zone: m.Zone, State: messages.MemberState(m.State),
			Tokens: messages.NewList(m.Tokens...), Settings: m.Settings, Version: m.Version, Since: m.Since, Session: m.Session, Revision: m.Revision,
		})
	}
	for _, claim := range in.Claims {
		if unit, ok := messages.ParseUnit(claim.Unit); ok {
			out.Claims = append(out.Claims, messages.Claim{
				Unit: unit, Node: claim.Node, Incarnation: claim.Incarnation, Session: claim.Session, Revision: claim.Revision, Since: claim.Since,
			})
		}
	}
	return out
}

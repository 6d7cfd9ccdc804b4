package gossip

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
)

// Status is what a node says of itself. The zero value, which is also that of a peer whose words
// can't be understood, claims nothing: no session, no store, not fenced.
type Status struct {
	Session      string // of the node in the store; empty: none. At most 256 bytes
	ReachesStore bool   // the node could talk to the store lately
	Fenced       bool   // the node has stopped scraping what it claims: its session may be revoked
	// AwaySince is, to the millisecond and by the node's clock, since when at the latest the store
	// has not answered it; zero if it does, or never has.
	AwaySince time.Time
}

const (
	statusVersion   = 1
	maxSessionBytes = 256
)

// announcement is how a status travels, as a node's metadata and in its answers. Fields may be added
// within a version; a new version is for what older nodes would misunderstand.
type announcement struct {
	Version int `json:"v"`
	// Process is a random number of the process that says this, and Number counts what it has said.
	// Both are 0 in what older versions say.
	Process      uint32 `json:"p,omitempty"`
	Number       uint64 `json:"n,omitempty"`
	Session      string `json:"s,omitempty"`
	ReachesStore bool   `json:"r,omitempty"`
	Fenced       bool   `json:"f,omitempty"`
	AwaySince    int64  `json:"a,omitempty"` // Unix milliseconds
	Leaving      bool   `json:"l,omitempty"` // memberlist does not tell its callbacks a leave from a death
}

// encode returns at most memberlist.MetaMaxSize bytes. A session that is too long is left out, with
// an error beside the rest.
func (a announcement) encode() ([]byte, error) {
	var err error
	if len(a.Session) > maxSessionBytes {
		err = fmt.Errorf("announce session: %d bytes are more than %d", len(a.Session), maxSessionBytes)
		a.Session = ""
	}
	a.Version = statusVersion
	text := marshal(a)
	if len(text) > memberlist.MetaMaxSize { // a session of nothing but characters that JSON escapes
		err = fmt.Errorf("announce session: more than %d bytes when encoded", memberlist.MetaMaxSize)
		a.Session = ""
		text = marshal(a)
	}
	return text, err
}

func decodeAnnouncement(meta []byte) (announcement, error) {
	var a announcement
	if err := json.Unmarshal(meta, &a); err != nil {
		return announcement{}, fmt.Errorf("decode status: %w", err)
	}
	if a.Version != statusVersion {
		return announcement{}, fmt.Errorf("decode status: version %d is not %d", a.Version, statusVersion)
	}
	return a, nil
}

func (a announcement) status() Status {
	s := Status{Session: a.Session, ReachesStore: a.ReachesStore, Fenced: a.Fenced}
	if a.AwaySince != 0 {
		s.AwaySince = time.UnixMilli(a.AwaySince)
	}
	return s
}

// before reports whether the same process has said other since.
func (a announcement) before(other announcement) bool {
	return a.Process == other.Process && a.Number < other.Number
}

// marshal is for values that always can be.
func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

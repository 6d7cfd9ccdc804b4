package gossip

import (
	"encoding/json"
	"errors"
	"fmt"
)

const messageVersion = 1

type messageKind string

const (
	// ask wants to know whether the receiver holds the sender alive. Lost: no evidence, the next
	// one follows.
	ask messageKind = "ask"
	// answer says so. To a node that is not held alive there is none.
	answer messageKind = "answer"
	// clash tells both sides of a conflict of names where the other one is. Lost: repeated every
	// few seconds.
	clash messageKind = "clash"
)

// message is what nodes tell each other besides memberlist's protocol, in one packet each.
type message struct {
	Version int         `json:"v"`
	Kind    messageKind `json:"k"`
	From    string      `json:"from"`        // the sender's name
	Nonce   uint64      `json:"n,omitempty"` // of the question, and repeated in its answer
	Clock   int64       `json:"c,omitempty"` // answer: the sender's clock, in Unix milliseconds
	// Said is, in an answer, what the sender says of itself. Zero: it is of an older version, or of a
	// newer one that can't be understood.
	Said    announced `json:"said,omitzero"`
	Name    string    `json:"name,omitempty"` // clash: the name
	Address string    `json:"at,omitempty"`   // clash: where somebody else has it
}

func (m message) encode() []byte {
	m.Version = messageVersion
	return marshal(m)
}

func decodeMessage(text []byte) (message, error) {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	if m.Version != messageVersion {
		return message{}, fmt.Errorf("decode message: version %d is not %d", m.Version, messageVersion)
	}
	switch {
	case m.From == "":
		return message{}, errors.New("decode message: no sender")
	case m.Kind != ask && m.Kind != answer && m.Kind != clash:
		return message{}, fmt.Errorf("decode message: unknown kind %q", m.Kind)
	}
	return m, nil
}

// announced is an announcement inside a message. One that can't be understood is the zero value, and
// the message counts without it: a newer version may write what this one can't read.
type announced struct{ announcement }

func (a *announced) UnmarshalJSON(text []byte) error {
	a.announcement, _ = decodeAnnouncement(text)
	return nil
}

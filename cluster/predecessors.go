package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

// predecessorRing is the key, under the prefix of the ring, in which Grafana Agent's scraping
// service keeps its members: one protobuf message (ring.Desc of grafana/dskit), compressed by
// snappy.
const predecessorRing = "agent"

// maxPredecessorRing bounds that value when it is decompressed: a member with 128 tokens has less
// than 1 KiB.
const maxPredecessorRing = 16 << 20

// Predecessor is a member of the ring of Grafana Agent's scraping service. It knows nothing of
// claims: where one runs, every config is scraped twice.
type Predecessor struct {
	Name, Address string
	// Heartbeat is when it last wrote to the store, by its clock, to the second.
	Heartbeat time.Time
	// Left: it has left the ring in order.
	Left bool
}

// Predecessors lists the members of Grafana Agent's ring under the registry's prefix, sorted by
// name, also those that died long ago. None if there is no such ring.
func (r *Registry) Predecessors(ctx context.Context) ([]Predecessor, error) {
	e, err := r.store.Get(ctx, r.prefix+predecessorRing)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get ring of Grafana Agent: %w", err)
	}
	members, err := decodePredecessors(e.Value)
	if err != nil {
		return nil, fmt.Errorf("decode ring of Grafana Agent (key %s): %w", r.prefix+predecessorRing, err)
	}
	slices.SortFunc(members, func(a, b Predecessor) int { return strings.Compare(a.Name, b.Name) })
	return members, nil
}

// decodePredecessors reads message Desc { map<string, InstanceDesc> ingesters = 1; }.
func decodePredecessors(value []byte) (members []Predecessor, err error) {
	if size, err := snappy.DecodedLen(value); err != nil || size > maxPredecessorRing {
		return nil, errors.New("the value is not snappy, or too long")
	}
	message, err := snappy.Decode(nil, value)
	if err != nil {
		return nil, err
	}
	err = eachField(message, func(number protowire.Number, field []byte, _ uint64) error {
		if number != 1 {
			return nil
		}
		var m Predecessor
		err := eachField(field, func(number protowire.Number, field []byte, _ uint64) error {
			switch number {
			case 1:
				m.Name = string(field)
			case 2:
				return m.decode(field)
			}
			return nil
		})
		members = append(members, m)
		return err
	})
	return members, err
}

// decode reads message InstanceDesc { string addr = 1; int64 timestamp = 2; InstanceState state = 3; }.
func (p *Predecessor) decode(message []byte) error {
	const left = 4
	return eachField(message, func(number protowire.Number, field []byte, value uint64) error {
		switch number {
		case 1:
			p.Address = string(field)
		case 2:
			p.Heartbeat = time.Unix(int64(value), 0).UTC()
		case 3:
			p.Left = value == left
		}
		return nil
	})
}

// eachField calls f for each field of a message: with its bytes, or its value if it is a number.
func eachField(message []byte, f func(number protowire.Number, field []byte, value uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var (
			field []byte
			value uint64
		)
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			field, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := f(number, field, value); err != nil {
			return err
		}
	}
	return nil
}

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// recordVersion is the version of the records that this program writes. It reads no newer ones.
const recordVersion = 1

const (
	membersFolder = "members/"
	claimsFolder  = "claims/"
	intentsFolder = "intents/"
	holdsFolder   = "holds/"
	cordonsFolder = "cordons/"
)

// Registry is the repository of what nodes tell each other through a Store: members, claims and
// intents, each a JSON value under <prefix>members/<node>, <prefix>claims/<unit key> and
// <prefix>intents/<unit key>; and of what people have ordered, under <prefix>holds/<config> and
// <prefix>cordons/<node>. It keeps nothing and decides nothing.
//
// A record that can't be read is told as one: a member or a claim with its Problem, so that nobody
// takes it for absent. An intent that can't be read is told as one that is gone. Other keys under
// the prefix are nobody's (Grafana Agent kept its ring there).
type Registry struct {
	store  Store
	prefix string
}

// RegistryChange is one change of the registry. Event is nil for EventRelist.
type RegistryChange struct {
	Kind     EventKind
	Event    messages.RegistryEvent
	Revision int64
}

// Author is the process that writes.
type Author struct{ Node, Incarnation string }

// NewRegistry returns the repository under prefix, which may be empty.
func NewRegistry(s Store, prefix string) *Registry { return &Registry{store: s, prefix: prefix} }

// Prefix is what all its keys begin with.
func (r *Registry) Prefix() string { return r.prefix }

// List reads everything as of one revision.
func (r *Registry) List(ctx context.Context) (messages.RegistryListed, error) {
	l, err := r.store.List(ctx, r.prefix)
	if err != nil {
		return messages.RegistryListed{}, fmt.Errorf("list members and claims: %w", err)
	}
	var members []messages.Member
	var claims []messages.Claim
	var intents []messages.Intent
	var holds []messages.ConfigHold
	var cordons []messages.NodeCordon
	for _, entry := range l.Entries {
		switch e := r.decode(entry).(type) {
		case messages.MemberPut:
			members = append(members, e.Member)
		case messages.ClaimPut:
			claims = append(claims, e.Claim)
		case messages.IntentPut:
			intents = append(intents, e.Intent)
		case messages.HoldPut:
			holds = append(holds, e.Hold)
		case messages.CordonPut:
			cordons = append(cordons, e.Cordon)
		}
	}
	return messages.RegistryListed{
		Members: messages.NewList(members...), Claims: messages.NewList(claims...), Intents: messages.NewList(intents...),
		Holds: messages.NewList(holds...), Cordons: messages.NewList(cordons...),
		Revision: l.Revision, Era: l.Era,
	}, nil
}

// Watch delivers the changes made after revision, as Store.Watch does, until ctx is over or the
// store is closed.
func (r *Registry) Watch(ctx context.Context, after int64) iter.Seq[RegistryChange] {
	return func(yield func(RegistryChange) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for ev := range r.store.Watch(ctx, r.prefix, after) {
			change := RegistryChange{Kind: ev.Kind, Revision: ev.Entry.Revision}
			switch ev.Kind {
			case EventPut:
				change.Event = r.decode(ev.Entry)
			case EventDelete:
				change.Event = r.gone(ev.Entry)
			}
			if change.Event == nil && ev.Kind != EventRelist {
				continue
			}
			if !yield(change) {
				return
			}
		}
	}
}

// GetMember reads one member's record. ErrNotFound if there is none.
func (r *Registry) GetMember(ctx context.Context, node string) (messages.Member, error) {
	e, err := r.store.Get(ctx, r.prefix+membersFolder+node)
	if err != nil {
		return messages.Member{}, fmt.Errorf("get member %q: %w", node, err)
	}
	return decodeMember(node, e), nil
}

// PutMember writes a member's record, bound to the session, and returns its revision. ErrConflict,
// ErrSessionLost.
func (r *Registry) PutMember(ctx context.Context, m messages.Member, s Session, cond Condition) (int64, error) {
	value, err := json.Marshal(memberRecord{
		Version: recordVersion, Node: m.Node, Incarnation: m.Incarnation, Address: m.Address, Scheme: m.Scheme, Gossip: m.Gossip, Zone: m.Zone, State: m.State.String(),
		Tokens: tokensOf(m), Settings: m.Settings, Program: m.Version, Since: m.Since.UTC(),
		Unfit: m.Unfit, Declines: slices.Collect(m.Declines.All()), Cordoned: m.Cordoned,
	})
	if err != nil {
		return 0, fmt.Errorf("put member %q: %w", m.Node, err)
	}
	res, err := r.store.Put(ctx, PutRequest{Key: r.prefix + membersFolder + m.Node, Value: value, Session: s, If: cond})
	if err != nil {
		return 0, fmt.Errorf("put member %q: %w", m.Node, err)
	}
	return res.Revision, nil
}

// RemoveMember removes a member's record, if the condition holds. ErrNotFound if there is none,
// ErrConflict.
func (r *Registry) RemoveMember(ctx context.Context, node string, cond Condition) error {
	if _, err := r.store.Delete(ctx, r.prefix+membersFolder+node, cond); err != nil {
		return fmt.Errorf("remove member %q: %w", node, err)
	}
	return nil
}

// Write writes claims and intents of the author, at most MaxBatch of them, in one step. What it
// returns has an item for each write. ErrSessionLost if the session has ended: then nothing was
// written.
func (r *Registry) Write(ctx context.Context, by Author, s Session, now time.Time, writes []messages.RecordWrite) ([]messages.RecordWritten, error) {
	now = now.UTC().Round(0) // as it comes back from the store
	ops := make([]Op, len(writes))
	for i, w := range writes {
		op, err := r.operation(w, by, s, now)
		if err != nil {
			return nil, err
		}
		ops[i] = op
	}
	results, err := r.store.Batch(ctx, ops)
	if err != nil {
		return nil, fmt.Errorf("write %d claims and intents: %w", len(writes), err)
	}
	written := make([]messages.RecordWritten, len(writes))
	for i, result := range results {
		written[i] = messages.RecordWritten{Record: writes[i].Record(), Refused: true}
		if result.Err == nil {
			written[i] = told(writes[i], by, s.ID(), result.Revision, now)
		}
	}
	return written, nil
}

func (r *Registry) operation(w messages.RecordWrite, by Author, s Session, now time.Time) (Op, error) {
	key, cond := r.key(w.Record()), Condition{Revision: w.Revision, Absent: w.Revision == 0}
	switch w.Kind {
	case messages.RemoveClaim, messages.WithdrawIntent:
		return Op{Delete: &DeleteRequest{Key: key, If: cond}}, nil
	case messages.IntendUnit:
		cond = Condition{}
	}
	record := unitRecord{Version: recordVersion, Node: by.Node, Incarnation: by.Incarnation, Since: now}
	if w.Kind == messages.ReleaseUnit {
		record.Released, record.Handover = true, string(w.Handover)
	}
	value, err := json.Marshal(record)
	if err != nil {
		return Op{}, fmt.Errorf("write the claim of %q: %w", w.Unit.Key(), err)
	}
	return Op{Put: &PutRequest{Key: key, Value: value, If: cond, Session: s}}, nil
}

// told is what a watch will tell of the write.
func told(w messages.RecordWrite, by Author, session string, revision int64, now time.Time) messages.RecordWritten {
	out := messages.RecordWritten{Record: w.Record(), Revision: revision}
	switch w.Kind {
	case messages.IntendUnit:
		out.Intent = messages.Intent{Unit: w.Unit, Node: by.Node, Incarnation: by.Incarnation, Session: session, Revision: revision, Since: now}
	case messages.ClaimUnit, messages.ReleaseUnit:
		out.Claim = messages.Claim{Unit: w.Unit, Node: by.Node, Incarnation: by.Incarnation, Session: session, Revision: revision, Since: now}
		if w.Kind == messages.ReleaseUnit {
			out.Claim.Released, out.Claim.Handover = true, w.Handover
		}
	}
	return out
}

func (r *Registry) key(w messages.Record) string {
	if w.Intent {
		return r.prefix + intentsFolder + w.Unit.Key()
	}
	return r.prefix + claimsFolder + w.Unit.Key()
}

// subject is what a key is about: a member, a unit's claim or intent, a config's hold or a node's
// cordon.
type subject struct {
	folder string
	// name is that of the node or of the config.
	name string
	unit messages.Unit
}

// subject reports false for a key that is nobody's.
func (r *Registry) subject(key string) (subject, bool) {
	folder, name, _ := strings.Cut(strings.TrimPrefix(key, r.prefix), "/")
	s := subject{folder: folder + "/", name: name}
	switch s.folder {
	case membersFolder, holdsFolder, cordonsFolder:
		return s, name != ""
	case claimsFolder, intentsFolder:
		unit, ok := messages.ParseUnit(name)
		s.unit = unit
		return s, ok
	default:
		return subject{}, false
	}
}

// decode returns the event for a key that was written, nil if there is none.
func (r *Registry) decode(e Entry) messages.RegistryEvent {
	about, ok := r.subject(e.Key)
	switch {
	case !ok:
		return nil
	case about.folder == membersFolder:
		return messages.MemberPut{Member: decodeMember(about.name, e)}
	case about.folder == claimsFolder:
		return messages.ClaimPut{Claim: decodeClaim(about.unit, e)}
	case about.folder == holdsFolder:
		return messages.HoldPut{Hold: decodeHold(about.name, e)}
	case about.folder == cordonsFolder:
		return messages.CordonPut{Cordon: decodeCordon(about.name, e)}
	}
	if intent, ok := decodeIntent(about.unit, e); ok {
		return messages.IntentPut{Intent: intent}
	}
	return messages.IntentGone{Unit: about.unit, Revision: e.Revision}
}

// gone returns the event for a key that is gone, nil if it is nobody's.
func (r *Registry) gone(e Entry) messages.RegistryEvent {
	about, ok := r.subject(e.Key)
	switch {
	case !ok:
		return nil
	case about.folder == membersFolder:
		return messages.MemberGone{Node: about.name, Revision: e.Revision}
	case about.folder == claimsFolder:
		return messages.ClaimGone{Unit: about.unit, Revision: e.Revision}
	case about.folder == holdsFolder:
		return messages.HoldGone{Config: about.name, Revision: e.Revision}
	case about.folder == cordonsFolder:
		return messages.CordonGone{Node: about.name, Revision: e.Revision}
	default:
		return messages.IntentGone{Unit: about.unit, Revision: e.Revision}
	}
}

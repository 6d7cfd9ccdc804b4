package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
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
)

// Registry is the repository of what nodes tell each other through a Store: members, claims and intents, each a JSON value under
// <prefix>members/<node>, <prefix>claims/<unit key> and <prefix>intents/<unit key>. It keeps nothing and decides nothing.
//
// A record that can't be read is told as one: a member or a claim with its Problem, so that nobody takes it for absent. An
// intent that can't be read is told as one that is gone. Other keys under the prefix are nobody's (the retired service kept its ring there).
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

// RecordWrite is one claim or intent to write or to delete.
type RecordWrite struct {
	Unit   messages.Unit
	Intent bool
	Delete bool
	If     Condition
	// Released and Handover are a claim's.
	Released bool
	Handover messages.Handover
}

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
	for _, entry := range l.Entries {
		switch e := r.decode(entry).(type) {
		case messages.MemberPut:
			members = append(members, e.Member)
		case messages.ClaimPut:
			claims = append(claims, e.Claim)
		case messages.IntentPut:
			intents = append(intents, e.Intent)
		}
	}
	return messages.RegistryListed{
		Members: messages.NewList(members...), Claims: messages.NewList(claims...), Intents: messages.NewList(intents...),
		Revision: l.Revision,
	}, nil
}

// Watch delivers the changes made after revision, as Store.Watch does, until ctx is over or the store is closed.
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

// PutMember writes a member's record, bound to the session, and returns its revision. ErrConflict, ErrSessionLost.
func (r *Registry) PutMember(ctx context.Context, m messages.Member, s Session, cond Condition) (int64, error) {
	value, err := json.Marshal(memberRecord{
		Version: recordVersion, Node: m.Node, Address: m.Address, Scheme: m.Scheme, Gossip: m.Gossip, Zone: m.Zone, State: m.State.String(),
		Tokens: tokensOf(m), Settings: m.Settings, Program: m.Version, Since: m.Since.UTC(),
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

// RemoveMember removes a member's record, whoever's it is. ErrNotFound if there is none.
func (r *Registry) RemoveMember(ctx context.Context, node string) error {
	if _, err := r.store.Delete(ctx, r.prefix+membersFolder+node, Condition{}); err != nil {
		return fmt.Errorf("remove member %q: %w", node, err)
	}
	return nil
}

// Write writes claims and intents of the node, at most MaxBatch of them, in one step. What it returns has an item for each write: the
// event that tells of it, or nil if its condition did not hold. ErrSessionLost if the session has ended: then nothing was written.
func (r *Registry) Write(ctx context.Context, node string, s Session, now time.Time, writes []RecordWrite) ([]messages.RegistryEvent, error) {
	now = now.UTC().Round(0) // as it comes back from the store
	ops := make([]Op, len(writes))
	for i, w := range writes {
		key := r.key(w)
		if w.Delete {
			ops[i].Delete = &DeleteRequest{Key: key, If: w.If}
			continue
		}
		value, err := json.Marshal(unitRecord{Version: recordVersion, Node: node, Since: now, Released: w.Released, Handover: string(w.Handover)})
		if err != nil {
			return nil, fmt.Errorf("write the claim of %q: %w", w.Unit.Key(), err)
		}
		ops[i].Put = &PutRequest{Key: key, Value: value, If: w.If, Session: s}
	}
	results, err := r.store.Batch(ctx, ops)
	if err != nil {
		return nil, fmt.Errorf("write %d claims and intents: %w", len(writes), err)
	}
	events := make([]messages.RegistryEvent, len(writes))
	for i, result := range results {
		if result.Err == nil {
			events[i] = told(writes[i], node, s.ID(), result.Revision, now)
		}
	}
	return events, nil
}

// told is the event that a watch will deliver for the write.
func told(w RecordWrite, node, session string, revision int64, now time.Time) messages.RegistryEvent {
	switch {
	case w.Intent && w.Delete:
		return messages.IntentGone{Unit: w.Unit, Revision: revision}
	case w.Intent:
		return messages.IntentPut{Intent: messages.Intent{Unit: w.Unit, Node: node, Session: session, Revision: revision, Since: now}}
	case w.Delete:
		return messages.ClaimGone{Unit: w.Unit, Revision: revision}
	default:
		return messages.ClaimPut{Claim: messages.Claim{
			Unit: w.Unit, Node: node, Session: session, Revision: revision, Since: now, Released: w.Released, Handover: w.Handover,
		}}
	}
}

func (r *Registry) key(w RecordWrite) string {
	if w.Intent {
		return r.prefix + intentsFolder + w.Unit.Key()
	}
	return r.prefix + claimsFolder + w.Unit.Key()
}

// subject is what a key is about: a member, or a unit's claim or intent.
type subject struct {
	folder string
	node   string
	unit   messages.Unit
}

// subject reports false for a key that is nobody's.
func (r *Registry) subject(key string) (subject, bool) {
	folder, name, _ := strings.Cut(strings.TrimPrefix(key, r.prefix), "/")
	s := subject{folder: folder + "/", node: name}
	switch s.folder {
	case membersFolder:
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
		return messages.MemberPut{Member: decodeMember(about.node, e)}
	case about.folder == claimsFolder:
		return messages.ClaimPut{Claim: decodeClaim(about.unit, e)}
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
		return messages.MemberGone{Node: about.node, Revision: e.Revision}
	case about.folder == claimsFolder:
		return messages.ClaimGone{Unit: about.unit, Revision: e.Revision}
	default:
		return messages.IntentGone{Unit: about.unit, Revision: e.Revision}
	}
}

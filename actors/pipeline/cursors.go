package pipeline

import (
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
)

// cursorGrace is for how long a log that is opened keeps the cursors of endpoints that its config
// lacks. A node may start from a config that it remembers while the store is away, which may be
// older than the log.
const cursorGrace = 15 * time.Minute

// cursors are which places in the log somebody needs.
type cursors struct {
	mu sync.Mutex
	// configured are the ids of the endpoints that are configured.
	configured []string
	opened     time.Time
}

// tidy gives up the cursors that no endpoint has, once the time for that has come: they hold the
// log back.
func (p *Pipeline) tidy(now time.Time) error {
	p.cursors.mu.Lock()
	defer p.cursors.mu.Unlock()
	if now.Sub(p.cursors.opened) < cursorGrace {
		return nil
	}
	for _, c := range p.log.Cursors() {
		if !slices.Contains(p.cursors.configured, c.ID) {
			p.giveUp(c.ID, zap.String("cursor", c.ID))
		}
	}
	return p.log.KeepCursors(p.cursors.configured...)
}

// forgetCursors lets the log go on without the endpoints that only before has: what only they had
// not sent yet is given up with them.
func (p *Pipeline) forgetCursors(before, after *config.Instance) error {
	kept := remotewrite.CursorIDs(after.Name, after.RemoteWrite)
	var problems []error
	for i, id := range remotewrite.CursorIDs(before.Name, before.RemoteWrite) {
		if !slices.Contains(kept, id) {
			p.giveUp(id, zap.String("remote_name", before.RemoteWrite[i].Name))
			problems = append(problems, p.log.RemoveCursor(id))
		}
	}
	return errors.Join(problems...)
}

// giveUp accounts for what an endpoint that is not configured any more has not sent. Nothing, if
// another went on from its place.
func (p *Pipeline) giveUp(cursor string, name zap.Field) {
	position, known, err := p.log.Cursor(cursor)
	if err != nil || !known {
		return
	}
	place := remotewrite.Place{Position: remotewrite.Position(position), Progress: p.log.Progress(cursor)}
	if unsent := place.Unsent(p.log.End().Seq); unsent > 0 {
		p.factory.sending.GivenUp(unsent)
		p.logger.Warn("samples dropped: their remote_write block was removed before they were sent",
			zap.Stringer("reason", remotewrite.EndpointRemoved), zap.Uint64("dropped", unsent), name)
	}
}

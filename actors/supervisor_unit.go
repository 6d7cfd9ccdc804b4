package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// unit is what the supervisor knows of one unit on this node.
type unit struct {
	messages.Unit
	logger *zap.Logger
	attempt
	versions
	tenure
	handing
	history
}

// attempt is the newest generation.
type attempt struct {
	pid        *actor.PID
	generation uint64
	phase      messages.Phase
	since      time.Time
	// asked is the reason of the last stop it was told.
	asked messages.StopReason
	// prepared: it has all it needs to scrape. drains: it is there to send what a log has left.
	prepared, drains bool
	// terminated: the actor is gone. told: InstanceStopped came. The generation has ended when both
	// are so.
	terminated, told bool
	// over is closed when everything the generation held is released, which shows when its last
	// words were lost.
	over chan struct{}
	// terminatedAt is when its actor had gone, overSince when it was first seen that it is over.
	terminatedAt, overSince time.Time
}

// versions are those of the unit's config.
type versions struct {
	local bool
	// ordered is the version it was last told to run, and config what that says; running is the one
	// it said is in force.
	ordered, running reshard.Version
	config           *config.Instance
}

// tenure is by what right the unit is scraped here.
type tenure struct {
	// epoch is that of the claim it may scrape with.
	epoch  int64
	permit *unitPermit
	// claimed is the revision of the newest claim that this process has written.
	claimed int64
	// contested: since it was let scrape, others may have run the unit. It has not scraped, and what
	// it remembers of its ticks is out of date.
	contested bool
}

// handing is what a unit is taken over and handed over with.
type handing struct {
	// quiet: it has stopped scraping; its claim is released by releaseBy. handover is for who
	// scrapes next, resume for this generation.
	quiet            bool
	releaseBy        time.Time
	handover, resume messages.Handover
	// handoverOf is the revision of the claim that handover goes with.
	handoverOf int64
	// tookOverFrom is the node that released the unit to this one.
	tookOverFrom string
}

// history is what is remembered of generations that have ended.
type history struct {
	failures  lifecycle.Failures
	lastError string
	attempts  int
	pending   uint64
	// leftover: there is a log with something in it that was not sent, and another node runs the unit.
	leftover bool
}

// lateWords is how much later than the end of its actor the last words of a generation come at most.
const lateWords = time.Second

// ended reports whether there is no generation any more.
func (u *unit) ended() bool {
	return u.phase == messages.PhaseStopped || u.phase == messages.PhaseWaiting
}

// lost are the events that can't have been heard, for the instance to stand where it says it does.
func (u *unit) lost(e messages.InstanceChecked) []messages.InstanceEvent {
	var events []messages.InstanceEvent
	add := func(missed bool, event messages.InstanceEvent) {
		if missed {
			events = append(events, event)
		}
	}
	add(e.Prepared && !u.prepared, messages.InstancePrepared{Unit: e.Unit, Generation: e.Generation})
	if e.Phase != u.phase {
		add(e.Phase == messages.PhaseRunning, messages.InstanceRunning{Unit: e.Unit, Generation: e.Generation, Revision: e.Revision, Digest: e.Digest})
		add(e.Phase == messages.PhaseDraining, messages.InstanceDraining{Unit: e.Unit, Generation: e.Generation, Reason: e.Reason})
		add(e.Phase == messages.PhaseFailed, messages.InstanceFailed{Unit: e.Unit, Generation: e.Generation, Reason: e.Failure})
	} else if e.Phase == messages.PhaseRunning && !e.Reloading {
		add(e.Digest != u.running.Digest, messages.InstanceReloaded{Unit: e.Unit, Generation: e.Generation, Revision: e.Revision, Digest: e.Digest})
	}
	add(e.Quiet && !u.quiet, messages.InstanceQuiet{Unit: e.Unit, Generation: e.Generation, Handover: e.Handover})
	return events
}

// isOver reports whether everything that the generation held is released.
func (u *unit) isOver() bool {
	if u.over == nil {
		return false
	}
	select {
	case <-u.over:
		return true
	default:
		return false
	}
}

// view is the unit as the decision sees it.
func (u *unit) view() reshard.Instance {
	return reshard.Instance{
		Generation: u.generation, Phase: u.phase, Local: u.local, Ordered: u.ordered.Digest, Asked: u.asked,
		Contested: u.contested, Leftover: u.leftover, Drains: u.drains, Prepared: u.prepared, Epoch: u.epoch, Quiet: u.quiet, Handover: u.handover, HandoverOf: u.handoverOf, ReleaseBy: u.releaseBy,
		FailedDigest: u.failures.Digest, NotBefore: u.failures.NotBefore, Quarantined: u.failures.Quarantined,
	}
}

package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

const (
	// leaveShare is the part of the time for a stop that handing over may take.
	leaveShare = 0.7
	// leaveLook is how often handing over is looked at when nothing is heard.
	leaveLook = 500 * time.Millisecond
	// longestHandover bounds a handover when the stop has no bound.
	longestHandover = time.Minute
)

// Private messages of the supervisor to itself.
type (
	// stillLeaving comes every now and then while the node hands over.
	stillLeaving struct{}
	// handedOver comes when handing over has had its time.
	handedOver struct{}
)

// leave takes the node out of the ring, if there is a cluster to leave, and has what runs here
// taken over by others.
func (d *departure) leave(c actor.Context, within time.Duration) {
	m := d.cluster.membership
	if d.children.ring == nil || d.Cluster.KeepClaims || m.session == "" || !m.others() {
		return
	}
	d.leaving, d.left = true, true
	d.cluster.takePlace(c)
	bound := longestHandover
	if within > 0 {
		bound = time.Duration(leaveShare * float64(within))
	}
	d.leaveUntil = d.now().Add(bound)
	d.startTimer(c, "leave", bound, handedOver{})
	d.lookAgain(c)
}

// lookAgain has the handing over looked at also when nothing is heard.
func (d *departure) lookAgain(c actor.Context) {
	switch {
	case !d.leaving && !d.ending:
	case d.leaving && d.now().After(d.leaveUntil):
		d.stopInstances(c)
	default:
		d.startTimer(c, "leaving", leaveLook, stillLeaving{})
		d.cluster.takePlace(c)
		d.reconcileSoon(c)
	}
}

// stopInstances ends the handing over: what still runs is stopped.
func (d *departure) stopInstances(c actor.Context) {
	if !d.leaving {
		return
	}
	d.leaving = false
	d.stopWatching(c)
	d.Logger.Info("left the ring", zap.Int("instances", d.units.live()))
	d.agenda.addEverything()
	d.reconcileSoon(c)
}

// endMembership is the last step of an orderly end: nothing of this node is left in the store,
// unless it comes back soon.
func (d *departure) endMembership(c actor.Context) {
	if d.children.ring != nil {
		if !d.ending {
			d.ending = true
			d.cluster.takePlace(c)
			d.startTimer(c, "leaving", leaveLook, stillLeaving{})
		}
		return
	}
	d.end(c, nil)
}

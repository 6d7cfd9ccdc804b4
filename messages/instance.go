package messages

import "time"

// InstanceCommand is what the supervisor tells an instance. Commands about another generation are dropped.
type InstanceCommand interface{ instanceCommand() }

// StartInstance is the first message of an instance, and is sent once: open the log, warm up, then scrape. Answered by
// InstancePrepared and InstanceRunning, or by InstanceFailed. It can't be lost without the instance being lost, which the
// supervisor sees as its termination.
type StartInstance struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Config     Config
	// Hold: get ready, and scrape only when RunInstance comes.
	Hold bool
}

// RunInstance lets an instance scrape that was started on hold. It is legal at any time; one that scrapes already ignores it.
// Answered by InstanceRunning. Like StartInstance, it can't be lost without the instance being lost.
type RunInstance struct {
	Unit       Unit
	Generation uint64
	// Resume is what the node that ran the unit before has left.
	Resume Handover
}

// ReloadInstance asks for another config in place. It is legal at any time; only the newest one not yet begun counts,
// and one that comes while draining is ignored. Answered by InstanceReloaded or InstanceReloadFailed, once for
// those of a burst that were superseded. It can't be lost without the instance being lost.
type ReloadInstance struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Config     Config
}

// StopInstance asks for an orderly end. It is legal at any time. The first one's reason counts; a later one can only
// shorten the time left for draining. Answered by InstanceStopped.
type StopInstance struct {
	Unit       Unit
	Generation uint64
	Reason     StopReason
	// Within bounds the draining; 0 leaves it at the config's remote_flush_deadline.
	Within time.Duration
}

func (StartInstance) instanceCommand()  {}
func (RunInstance) instanceCommand()    {}
func (ReloadInstance) instanceCommand() {}
func (StopInstance) instanceCommand()   {}

// InstanceEvent is what an instance tells the supervisor. The supervisor drops events of other generations than the
// unit's present one. A lost event delays; the termination of the instance's actor tells the supervisor in any case.
type InstanceEvent interface {
	// Subject is the unit and the generation the event is about.
	Subject() (Unit, uint64)
	instanceEvent()
}

// InstancePrepared says that the log is open and discovery is warm. Nothing answers it.
type InstancePrepared struct {
	Unit       Unit
	Generation uint64
}

// InstanceRunning says that targets are being scraped.
type InstanceRunning struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Digest     Digest
}

// InstanceReloaded says that the config is in force.
type InstanceReloaded struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Digest     Digest
}

// InstanceReloadFailed says that the config could not be put in force and that the one before still is. It counts as a
// failure: the supervisor tries again after a backoff, within the unit's budget.
type InstanceReloadFailed struct {
	Unit       Unit
	Generation uint64
	Digest     Digest
	Reason     string
}

// InstanceDraining says that scraping has been told to end.
type InstanceDraining struct {
	Unit       Unit
	Generation uint64
	Reason     StopReason
}

// InstanceQuiet says that scraping has ended and that nothing is appended any more; what is left is being sent.
type InstanceQuiet struct {
	Unit       Unit
	Generation uint64
	// Handover is for the node that scrapes next.
	Handover Handover
}

// InstanceFailed says that the generation can't go on. InstanceStopped follows when it has released what it held.
type InstanceFailed struct {
	Unit       Unit
	Generation uint64
	Reason     string
}

// InstanceStopped is the last event of a generation: everything is released, another generation may open the log. It is sent
// by the instance, or, if its actor ended first, by the goroutine that released what the actor left.
type InstanceStopped struct {
	Unit       Unit
	Generation uint64
	// Pending is the number of samples that stay on disk because they could not be sent in time.
	Pending uint64
	// Problem is the error of the drain or of the close, if there was one.
	Problem string
}

// Subject implements InstanceEvent.
func (e InstancePrepared) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceRunning) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceReloaded) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceReloadFailed) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceDraining) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceQuiet) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceFailed) Subject() (Unit, uint64) { return e.Unit, e.Generation }

// Subject implements InstanceEvent.
func (e InstanceStopped) Subject() (Unit, uint64) { return e.Unit, e.Generation }

func (InstancePrepared) instanceEvent()     {}
func (InstanceRunning) instanceEvent()      {}
func (InstanceReloaded) instanceEvent()     {}
func (InstanceReloadFailed) instanceEvent() {}
func (InstanceDraining) instanceEvent()     {}
func (InstanceQuiet) instanceEvent()        {}
func (InstanceFailed) instanceEvent()       {}
func (InstanceStopped) instanceEvent()      {}

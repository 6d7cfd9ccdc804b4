package messages

import "time"

// InstanceCommand is what the supervisor tells an instance. Commands about another generation are
// dropped.
type InstanceCommand interface{ instanceCommand() }

// StartInstance is the first message of an instance, and is sent once: open the log, then scrape.
// Answered by InstancePrepared and InstanceRunning, or by InstanceFailed. Lost: the next
// CheckInstance says it again.
type StartInstance struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Config     Config
	// Hold: get ready, and scrape only when RunInstance comes.
	Hold bool
	// Warm: another node scrapes meanwhile, so getting ready is to find the targets too, for some
	// seconds.
	Warm bool
}

// RunInstance lets an instance scrape that was started on hold. It is legal at any time; one that
// scrapes already ignores it. Answered by InstanceRunning. Lost: the next CheckInstance says it
// again.
type RunInstance struct {
	Unit       Unit
	Generation uint64
	// Resume is what the node that ran the unit before has left.
	Resume Handover
}

// ReloadInstance asks for another config in place. It is legal at any time; only the newest one not
// yet begun counts, and one that comes while draining is ignored. Answered by InstanceReloaded or
// InstanceReloadFailed, once for those of a burst that were superseded. Lost: the next
// CheckInstance says it again.
type ReloadInstance struct {
	Unit       Unit
	Generation uint64
	Revision   int64
	Config     Config
}

// StopInstance asks for an orderly end. It is legal at any time. The first one's reason counts; a
// later one can only shorten the time left for draining. Answered by InstanceStopped. Lost: the
// next CheckInstance says it again.
type StopInstance struct {
	Unit       Unit
	Generation uint64
	Reason     StopReason
	// Within bounds the draining; 0 leaves it at the config's remote_flush_deadline.
	Within time.Duration
}

// CheckInstance says everything that the supervisor wants of an instance, which does what it has
// not heard of. It comes at every reshard interval, and is legal at any time. Answered by
// InstanceChecked, unless the instance has ended. Lost: the next one says the same.
type CheckInstance struct {
	Unit       Unit
	Generation uint64
	// Revision and Config are those of the newest StartInstance or ReloadInstance.
	Revision int64
	Config   Config
	// Hold: it may not scrape yet. Otherwise Resume is as in RunInstance.
	Hold   bool
	Resume Handover
	// Reason is that of the StopInstance, NotStopping if there was none; Within is its.
	Reason StopReason
	Within time.Duration
}

func (StartInstance) instanceCommand()  {}
func (RunInstance) instanceCommand()    {}
func (ReloadInstance) instanceCommand() {}
func (StopInstance) instanceCommand()   {}
func (CheckInstance) instanceCommand()  {}

// InstanceEvent is what an instance tells the supervisor. The supervisor drops events of other
// generations than the unit's present one. A lost event is made good by the next InstanceChecked;
// the last one of a generation by the end of its actor.
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

// InstanceReloadFailed says that the config could not be put in force and that the one before still
// is. It counts as a failure: the supervisor tries again after a backoff, within the unit's budget.
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

// InstanceQuiet says that scraping has ended and that nothing is appended any more; what is left is
// being sent.
type InstanceQuiet struct {
	Unit       Unit
	Generation uint64
	// Handover is for the node that scrapes next.
	Handover Handover
}

// InstanceFailed says that the generation can't go on. InstanceStopped follows when it has released
// what it held.
type InstanceFailed struct {
	Unit       Unit
	Generation uint64
	Reason     string
}

// InstanceStopped is the last event of a generation: everything is released, another generation may
// open the log. It is sent by the instance, or, if its actor ended first, by the goroutine that
// released what the actor left.
type InstanceStopped struct {
	Unit       Unit
	Generation uint64
	// Pending is the number of samples that stay on disk because they could not be sent in time.
	Pending uint64
	// Problem is the error of the drain or of the close, if there was one.
	Problem string
}

// InstanceChecked says where an instance stands, so that the supervisor can make good events that
// were lost.
type InstanceChecked struct {
	Unit       Unit
	Generation uint64
	Phase      Phase
	Prepared   bool
	// Revision and Digest are of the config in force. Reloading: another one is on its way.
	Revision  int64
	Digest    Digest
	Reloading bool
	// Quiet and Handover are as in InstanceQuiet.
	Quiet    bool
	Handover Handover
	// Failure says why it failed, Reason why it stops.
	Failure string
	Reason  StopReason
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

// Subject implements InstanceEvent.
func (e InstanceChecked) Subject() (Unit, uint64) { return e.Unit, e.Generation }

func (InstanceChecked) instanceEvent()      {}
func (InstancePrepared) instanceEvent()     {}
func (InstanceRunning) instanceEvent()      {}
func (InstanceReloaded) instanceEvent()     {}
func (InstanceReloadFailed) instanceEvent() {}
func (InstanceDraining) instanceEvent()     {}
func (InstanceQuiet) instanceEvent()        {}
func (InstanceFailed) instanceEvent()       {}
func (InstanceStopped) instanceEvent()      {}

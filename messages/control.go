package messages

import "time"

// ControlCommand is what the outside (the process, the HTTP API, an embedding system) tells the
// supervisor.
type ControlCommand interface{ controlCommand() }

// ReplaceLocal replaces all local documents, those that come from the main file and not from a
// store. What the list lacks is gone. The last one sent wins. Nothing answers it.
type ReplaceLocal struct {
	Documents List[Document]
}

// DefaultsChanged says that the defaults that apply to every config are others from now on, so
// every document is parsed again; instances whose digest changes by it are reloaded. It is sent
// after the parser has seen the new defaults. Nothing answers it.
type DefaultsChanged struct {
	// Digest identifies the new defaults, for the log.
	Digest Digest
}

// RetryInstance lifts a unit's backoff or quarantine. Answered by RetryAccepted.
type RetryInstance struct {
	Unit Unit
}

// RetryAccepted answers RetryInstance.
type RetryAccepted struct {
	// Known is false if there is no such unit here; nothing was done then.
	Known bool
}

// StopTree asks the supervisor to stop every instance for reason Shutdown and then itself. A later
// one can only shorten the time. Answered by TreeStopped, right before the supervisor ends; a
// sender that watches it also learns of an end without an answer.
type StopTree struct {
	// Within bounds the whole stop; when it is over the supervisor ends without waiting for its
	// children any longer. 0 leaves it to the remote_flush_deadline of each config.
	Within time.Duration
}

// TreeStopped answers StopTree.
type TreeStopped struct {
	// Unfinished is the units whose instances had not ended in time; empty after an orderly stop.
	Unfinished List[Unit]
}

func (ReplaceLocal) controlCommand()    {}
func (DefaultsChanged) controlCommand() {}
func (RetryInstance) controlCommand()   {}
func (StopTree) controlCommand()        {}

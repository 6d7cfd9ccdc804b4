package messages

// WatcherEvent is what the watcher tells the supervisor about the stored configs. Events are hints: one that is lost is
// made good by the next ConfigsListed. Nothing answers them.
type WatcherEvent interface{ watcherEvent() }

// ConfigPut says that a config was written. Dropped if a newer revision of it is known already.
type ConfigPut struct {
	Document Document
}

// ConfigDeleted says that a config was deleted by somebody: positive evidence, believed at once.
type ConfigDeleted struct {
	Name string
	// Revision is the revision of the deletion.
	Revision int64
}

// ConfigsListed is the complete set of stored configs as of one revision. What it lacks is gone, unless the set looks
// wrong; package reshard decides that.
type ConfigsListed struct {
	Documents List[Document]
	Revision  int64
	// Afresh: the store has said since the listing before that it is not the one it was (emptied, restored), so revisions known before
	// mean nothing.
	Afresh bool
}

// ConfigsUnavailable says that the store could not be listed or watched. It changes nothing that runs. The watcher goes on
// trying, and ConfigsListed says when it succeeded.
type ConfigsUnavailable struct {
	Reason string
}

func (ConfigPut) watcherEvent()          {}
func (ConfigDeleted) watcherEvent()      {}
func (ConfigsListed) watcherEvent()      {}
func (ConfigsUnavailable) watcherEvent() {}

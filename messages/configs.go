package messages

// WatcherEvent is what the watcher tells the supervisor about the stored configs. Events are hints:
// one that is lost is made good by the next ConfigsListed. Nothing answers them.
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

// Era names one history of the store's revisions. A store that is emptied, restored from a backup
// or replaced by another begins a new era: revisions of two eras can't be compared, and a key of
// the one that is absent from the other was not deleted.
type Era struct {
	// Cluster is the store's own name for itself, as etcd's cluster ID; empty if it has none, as
	// Consul. It outlives this process.
	Cluster string
	// Rewinds counts how often this process has seen the store's revision go back. It means nothing
	// to another process.
	Rewinds uint64
}

// ConfigsListed is the complete set of stored configs as of one revision. What it lacks is gone,
// unless the set looks wrong; package reshard decides that.
type ConfigsListed struct {
	Documents List[Document]
	Revision  int64
	Era       Era
	// Afresh: the store has said since the listing before that it is not the one it was (emptied,
	// restored), so revisions known before mean nothing.
	Afresh bool
}

// ConfigsUnavailable says that the store could not be listed or watched. It changes nothing that
// runs. The watcher goes on trying, and ConfigsListed says when it succeeded.
type ConfigsUnavailable struct {
	Reason string
}

func (ConfigPut) watcherEvent()          {}
func (ConfigDeleted) watcherEvent()      {}
func (ConfigsListed) watcherEvent()      {}
func (ConfigsUnavailable) watcherEvent() {}

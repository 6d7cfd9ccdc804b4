package actors

import (
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// children are the actors below the supervisor that are not instances: the watchers of configs and
// registry, and the ring actor. They never give up by themselves; one that has crashed is spawned
// again after a backoff. Those that are down are nil.
type children struct {
	*tree
	configs, registry, ring *actor.PID
	// configsFailures are the crashes of the first, clusterFailures those of the other two.
	configsFailures, clusterFailures lifecycle.Failures
}

// spawnConfigs spawns the watcher of the configs, if it is missing.
func (k *children) spawnConfigs(c actor.Context) {
	if k.Configs != nil && k.configs == nil {
		k.configs = c.SpawnPrefix(props(who{kind: kindConfigs}, func() actor.Actor {
			return newWatcher(k.tree, configFeed{k.Configs}, k.supervisor)
		}, guardChild(k.Logger), k.Options), "watcher/")
	}
}

// spawnCluster spawns the ring actor and the watcher of the registry, whichever is missing, and
// reports whether the ring actor is another one. A new ring actor needs a new listing, so it takes
// its watcher with it.
func (k *children) spawnCluster(c actor.Context) (another bool) {
	guard := guardChild(k.Logger)
	if k.ring == nil {
		k.ring = c.SpawnPrefix(props(who{kind: kindRing}, func() actor.Actor { return ringactor.New(k.ringOptions()) }, guard, k.Options), "ring/")
		if k.registry != nil {
			c.Stop(k.registry) // it is spawned again when it has ended
			return true
		}
		another = true
	}
	if k.registry == nil {
		listeners := []*actor.PID{k.supervisor, k.ring}
		k.registry = c.SpawnPrefix(props(who{kind: kindRegistry}, func() actor.Actor {
			w := newWatcher(k.tree, registryFeed{k.Cluster.Registry}, listeners...)
			w.afresh = true // what was remembered may be of another store
			return w
		}, guard, k.Options), "registry/")
	}
	return another
}

// ringOptions are what the ring actor touches.
func (k *children) ringOptions() ringactor.Options {
	return ringactor.Options{
		Cluster: *k.Cluster, Sender: k.sender(), Jitter: k.Jitter, Logger: k.Logger, Supervisor: k.supervisor, Permits: k.permits,
		SessionsOpened: k.metrics.cluster.sessions, SessionsEnded: k.metrics.cluster.revoked,
	}
}

// configsGone notes that the watcher of the configs has ended, if it was that one, and returns how
// long the next one waits.
func (k *children) configsGone(who *actor.PID) (wait time.Duration, ok bool) {
	if k.configs == nil || !who.Equal(k.configs) {
		return 0, false
	}
	k.configs = nil
	return k.failed(&k.configsFailures, time.Second), true
}

// clusterGone is the same for the other two.
func (k *children) clusterGone(who *actor.PID) (wait time.Duration, ok bool) {
	switch {
	case k.ring != nil && who.Equal(k.ring):
		k.ring = nil
	case k.registry != nil && who.Equal(k.registry):
		k.registry = nil
	default:
		return 0, false
	}
	return k.failed(&k.clusterFailures, 100*time.Millisecond), true
}

func (k *children) failed(failures *lifecycle.Failures, first time.Duration) time.Duration {
	now := k.now()
	policy := lifecycle.Policy{First: first, Longest: time.Minute, Reset: 10 * time.Minute, Budget: math.MaxInt}
	*failures = failures.Add(policy, messages.Digest{}, now, k.Jitter())
	return failures.NotBefore.Sub(now)
}

// check has the watchers look whether they wait in vain.
func (k *children) check(c actor.Context) {
	k.tell(c, k.configs, check{})
	k.tell(c, k.registry, check{})
}

// relist has the stored configs listed again, and the registry too if the store may not be the one
// it was.
func (k *children) relist(c actor.Context, registry bool) {
	k.tell(c, k.configs, listNow{})
	if registry {
		k.tell(c, k.registry, listAfresh{})
	}
}

// tell tells a child, if it is there.
func (k *children) tell(c actor.Context, child *actor.PID, message any) {
	if child != nil {
		c.Send(child, message)
	}
}

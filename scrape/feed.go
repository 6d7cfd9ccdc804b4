package scrape

import (
	"github.com/prometheus/prometheus/discovery/targetgroup"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// targetSets are target groups by job name.
type targetSets = map[string][]*targetgroup.Group

// groupFeed hands target groups to a manager. Run, the only way to do that, starts a goroutine that lives as long as the manager,
// each time it is called. So an instance with static targets calls it once with a channel that is closed after one value, and
// has one goroutine; when it is reloaded, or has discoveries, it calls it with a channel that stays open, and has two more, or one.
type groupFeed struct {
	manager *promscrape.Manager
	onPanic func(error)
	dynamic bool

	fed  bool
	open chan targetSets
}

// send does not block. A value that was not taken yet is replaced. One caller at a time.
func (f *groupFeed) send(found []jobTargets) {
	sets := make(targetSets, len(found))
	for _, job := range found {
		sets[job.config.JobName] = job.groups
	}
	if !f.fed && !f.dynamic {
		f.fed = true
		once := make(chan targetSets, 1)
		once <- sets
		close(once)
		_ = f.manager.Run(once) // always nil
		return
	}
	if f.open == nil {
		f.fed = true
		f.open = make(chan targetSets, 1)
		go func() {
			defer func() {
				if v := recover(); v != nil {
					f.onPanic(panicError("feed scrape manager", v))
				}
			}()
			_ = f.manager.Run(f.open)
		}()
	}
	select {
	case <-f.open:
	default:
	}
	f.open <- sets
}

package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is something that goes wrong, or that somebody does.
type fault struct {
	name string
	// weight is how often it is drawn, compared with others.
	weight int
	do     func(*storm)
	// unscraped bounds for how long in sum a target is scraped by nobody because of it, besides one
	// interval, in a cluster that is well otherwise; see docs/failure-model.md. unmeasured: it
	// depends on more than the fault.
	unscraped time.Duration
	// off says why it is not drawn; empty: it is.
	off string
	// still: no instance is told anything because of it.
	still bool
	// added: it takes the place of others now and then, drawn by a generator of its own. So it
	// changes the meaning of those seeds only in which it comes.
	added bool
}

// What faults cost. Others take over from a dead node when gossip and the store agree that it is
// dead, or else when its session has run out.
const (
	unmeasured = time.Duration(-1)
	nothing    = time.Duration(0)
	takeover   = 5 * time.Second
	// cutOff is from when a node stops, which has only lost the store, until it says that it is
	// fenced and others have taken over.
	cutOff = 3 * time.Second
	// illness is until a node has found out that it can't run anything, and what it had has been
	// handed over.
	illness = 25 * time.Second
	// tookBack is a takeover that the node itself forestalls: it leaves what it ran to others, for
	// half of a session's time.
	tookBack = takeover + 5*time.Second
	// runOut is a session's ten seconds and the five for which others wait that may have lost theirs.
	runOut = 15 * time.Second
	// dividedAfter is how long after it was written another number of slices is in force.
	dividedAfter = 10 * time.Second
	// midMove is until the node that has just stopped scraping finds out that the store will not
	// take its release, or takes it after all.
	midMove = 12 * time.Second
)

// faults is everything that can go wrong.
func faults() []fault {
	return []fault{
		{name: "crash", weight: 2, do: (*storm).crash, unscraped: takeover},
		{name: "stall", weight: 1, do: (*storm).stall, unscraped: takeover},
		{name: "cut off from the store", weight: 1, do: (*storm).cutFromStore, unscraped: cutOff},
		{name: "paused until its session is ended", weight: 1, do: (*storm).ambush, unscraped: tookBack},
		{name: "cut off, and taken for dead", weight: 1, do: (*storm).doubt, unscraped: takeover},
		{name: "disk full", weight: 1, do: (*storm).fill, unscraped: illness},
		{name: "record of a member deleted", weight: 1, do: (*storm).deleteMember, unscraped: nothing, still: true},
		{name: "second process takes the name", weight: 1, do: (*storm).usurp, unscraped: unmeasured},
		{name: "store goes away at a release", weight: 1, do: (*storm).snare, unscraped: unmeasured},
		{name: "old news", weight: 1, do: (*storm).oldNews, unscraped: nothing},
		{name: "listing lacks all configs", weight: 1, do: (*storm).blindListing, unscraped: nothing, still: true},
		{name: "parted again and again", weight: 1, do: (*storm).splitAgain, unscraped: unmeasured},
		{name: "receivers down", weight: 1, do: (*storm).receiversAway, unscraped: nothing},
		{name: "slow way to the store", weight: 1, do: (*storm).slowLink, unscraped: unmeasured},
		{name: "answers lost", weight: 1, do: (*storm).loseAnswers, unscraped: unmeasured},
		{name: "two nodes don't hear each other", weight: 1, do: (*storm).cutGossip, unscraped: nothing},
		{name: "isolated", weight: 1, do: (*storm).isolate, unscraped: takeover},
		{name: "taken for dead", weight: 1, do: (*storm).slander, unscraped: nothing},
		{name: "outage", weight: 1, do: (*storm).outage, unscraped: nothing},
		{name: "store emptied", weight: 1, do: (*storm).emptyStore, unscraped: unmeasured},
		{name: "history compacted", weight: 1, do: (*storm).compactHistory, unscraped: nothing},
		{name: "pipeline breaks", weight: 1, do: (*storm).breakPipeline, unscraped: takeover},
		{name: "claim is garbage", weight: 1, do: (*storm).garbageClaim, unscraped: nothing},
		{name: "member is garbage", weight: 1, do: (*storm).garbageMember, unscraped: nothing},
		{name: "config changed", weight: 1, do: (*storm).churn, unscraped: nothing},
		{name: "join or leave", weight: 2, do: (*storm).joinOrLeave, unscraped: nothing},
		{name: "suspended", weight: 1, do: (*storm).suspend, unscraped: takeover},
		{name: "clock set, and rebooted", weight: 1, do: (*storm).setClock, unscraped: takeover},
		{name: "parted in two", weight: 2, do: (*storm).split, unscraped: takeover},
		{name: "outage during a join", weight: 1, do: (*storm).joinAndOutage, unscraped: midMove},
		{name: "writes hang", weight: 1, do: (*storm).hang, unscraped: nothing},
		{name: "store restored from a backup", weight: 1, do: (*storm).rollBack, unscraped: unmeasured},
		{name: "configs restored from a backup", weight: 1, do: (*storm).rollBackPart, unscraped: nothing},
		{name: "claims deleted", weight: 1, do: (*storm).deleteClaim, unscraped: nothing},
		{name: "registry deleted", weight: 1, do: (*storm).deleteRegistry, unscraped: unmeasured},
		{name: "memory broken", weight: 1, do: (*storm).forgetMemory, unscraped: nothing},
		{name: "message lost, doubled or late", weight: 1, do: (*storm).upset, unscraped: unmeasured},
		{name: "actor panics", weight: 1, do: (*storm).panicSomewhere, unscraped: takeover},
		{name: "restart", weight: 2, do: (*storm).restart, unscraped: nothing},
		{name: "parted, and nodes join", weight: 1, do: (*storm).joinPart, unscraped: runOut},
		{name: "cut off, and then isolated", weight: 1, do: (*storm).cutThenIsolate, unscraped: runOut},
		{name: "session ended, and news late", weight: 1, do: (*storm).ambushDeaf, unscraped: runOut},
		{name: "twin", weight: 1, do: (*storm).twin, unscraped: nothing},
		{name: "outage that goes on for one node", weight: 1, do: (*storm).outageButOne, unscraped: runOut, added: true},
		{name: "cut off, and another was paused", weight: 2, do: (*storm).pausedJudge, unscraped: runOut, added: true},
		{name: "parted, with a twin on the other side", weight: 2, do: (*storm).twinAcross, unscraped: unmeasured, added: true},
	}
}

// drawFault draws one of the faults for which ok says yes.
func (s *storm) drawFault(ok func(fault) bool) fault {
	all := slices.DeleteFunc(faults(), func(f fault) bool {
		if only := s.options.Only; only != "" {
			return !slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(f.name, part) })
		}
		return f.off != "" || !ok(f)
	})
	first := slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return f.added })
	if len(first) == 0 {
		return drawOf(all, s.added)
	}
	drawn := drawOf(first, s.rnd)
	if replaced := drawOf(all, s.added); replaced.added {
		return replaced
	}
	return drawn
}

// drawOf draws one of them by their weights.
func drawOf(all []fault, rnd *rand.Rand) fault {
	sum := 0
	for _, f := range all {
		sum += f.weight
	}
	at := rnd.IntN(sum)
	for _, f := range all {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	return all[0]
}

// disturb lets one thing go wrong, or somebody do something.
func (s *storm) disturb() {
	f := s.drawFault(func(fault) bool { return true })
	if i := slices.IndexFunc(faults(), func(other fault) bool { return other.name == f.name }); s.without>>i&1 == 1 {
		f.name, f.do = "", (*storm).churn
	}
	f.do(s)
}

package actors

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// units is what is known of the units that run here, have run, or have failed. It keeps their
// phases, failures and handovers, logs and counts them; what is to be done about them is the
// supervisor's.
type units struct {
	*tree
	policy     lifecycle.Policy
	membership *membership // for the log
	all        map[messages.Unit]*unit
	byPID      map[string]*unit
	// generation is the number of the newest start attempt of any unit.
	generation uint64
	running    int
	// health is whether the node can run anything, as probing shows.
	health lifecycle.Health
	// gaveUp is the units that have been quarantined here.
	gaveUp map[messages.Unit]bool
}

func newUnits(t *tree, m *membership) *units {
	return &units{
		tree: t, policy: lifecycle.DefaultPolicy(t.RestartBackoff), membership: m, all: map[messages.Unit]*unit{}, byPID: map[string]*unit{},
		gaveUp: map[messages.Unit]bool{},
	}
}

// get returns what is known of the unit, from now on something.
func (k *units) get(id messages.Unit) *unit {
	u, ok := k.all[id]
	if !ok {
		u = &unit{Unit: id, attempt: attempt{phase: messages.PhaseWaiting}, logger: k.Logger.With(zap.String("instance", id.String()))}
		k.all[id] = u
	}
	return u
}

// sorted are the units in order, for what others see the order of.
func (k *units) sorted() []*unit {
	return slices.SortedFunc(maps.Values(k.all), func(a, b *unit) int { return a.Compare(b.Unit) })
}

// live is how many generations there are.
func (k *units) live() int {
	n := 0
	for _, u := range k.all {
		if !u.ended() {
			n++
		}
	}
	return n
}

// forget drops those of these units, or of all if there are none, that no config has any more and
// that have nothing running: their failures are of no interest any more, and what is nobody's is
// shown by nobody.
func (k *units) forget(about map[messages.Unit]bool, documents *documents) {
	forget := func(u *unit) {
		d, exists := documents.known[u.Config]
		surplus := exists && d.config != nil && u.Slice >= d.slices() && !u.leftover
		if u.ended() && (surplus || !exists) {
			delete(k.all, u.Unit)
			k.metrics.abnormalExits.DeleteLabelValues(u.Key())
		}
	}
	if about == nil {
		for _, u := range k.all {
			forget(u)
		}
	}
	for id := range about {
		if u, ok := k.all[id]; ok {
			forget(u)
		}
	}
}

// begin makes the unit one with another generation, and returns what its instance is made of.
func (k *units) begin(start reshard.Start, local bool, c *config.Instance) (*unit, actor.Producer) {
	u := k.get(start.Unit)
	u.leftover, u.drains, u.contested = false, start.Drain, false
	k.generation++
	u.attempts++
	u.generation, u.local, u.ordered, u.config = k.generation, local, start.Version, c
	u.asked, u.pending = messages.NotStopping, 0
	if u.epoch != 0 || u.handover != "" {
		u.resume, u.tookOverFrom = u.handover, ""
		if !local && k.membership.outdates(u) {
			u.resume = ""
		}
	}
	u.handover, u.handoverOf, u.quiet = "", 0, false
	u.prepared, u.epoch, u.permit = false, 0, &unitPermit{permits: k.permits, free: !start.Hold}
	u.terminated, u.told, u.overSince, u.over = false, false, time.Time{}, make(chan struct{})
	shared, unitID, generation, over, permit := k.tree, u.Unit, u.generation, u.over, u.permit.allowed
	return u, func() actor.Actor { return newInstance(shared, unitID, generation, over, permit) }
}

// began notes that the instance is there, or why it is not.
func (k *units) began(u *unit, pid *actor.PID, err error) {
	if err != nil {
		k.fail(u, u.ordered.Digest, "spawn the instance's actor: "+err.Error())
		k.become(u, messages.PhaseStopped)
		return
	}
	u.pid = pid
	k.byPID[pid.Id] = u
	k.become(u, messages.PhasePreparing)
}

// gone notes that an actor is no more, and returns whose it was; nil if it was no instance's.
func (k *units) gone(who *actor.PID) *unit {
	u, ok := k.byPID[who.Id]
	if !ok {
		return nil
	}
	delete(k.byPID, who.Id)
	// What the instance said before may still be on its way: a termination overtakes the messages
	// sent before it.
	u.terminated, u.terminatedAt = true, k.now()
	k.finish(u)
	return u
}

// panicked notes that the actor of an instance has panicked, and returns which; nil if it was no
// instance's.
func (k *units) panicked(who *actor.PID, reason string) *unit {
	u, ok := k.byPID[who.Id]
	if !ok || u.ended() {
		return nil
	}
	k.fail(u, u.ordered.Digest, reason)
	k.become(u, messages.PhaseFailed)
	return u
}

// fold takes in what an instance tells. It reports whether the unit is known, and whether something
// has to be decided about it soon.
func (k *units) fold(event messages.InstanceEvent) (known, decide bool) {
	subject, generation := event.Subject()
	u, ok := k.all[subject]
	if !ok || u.generation != generation || u.ended() {
		return false, false
	}
	if e, ok := event.(messages.InstanceChecked); ok {
		for _, lost := range u.lost(e) {
			_, soon := k.fold(lost)
			known, decide = true, decide || soon
		}
		return known, decide
	}
	switch e := event.(type) {
	case messages.InstancePrepared:
		u.prepared = true
	case messages.InstanceRunning:
		u.running = reshard.Version{Revision: e.Revision, Digest: e.Digest}
		k.become(u, messages.PhaseRunning)
		return true, false
	case messages.InstanceReloaded:
		u.running = reshard.Version{Revision: e.Revision, Digest: e.Digest}
		u.logger.Info("instance reloaded", zap.Uint64("generation", generation), zap.Int64("revision", e.Revision))
		return true, false
	case messages.InstanceReloadFailed:
		k.fail(u, e.Digest, e.Reason)
		if u.ordered.Digest == e.Digest {
			// Nothing newer was ordered since, so what it runs is what it had before.
			u.ordered = u.running
		}
	case messages.InstanceDraining:
		if u.epoch == 0 && k.membership != nil && !u.local {
			// It was never let scrape, so what was left to it is left to the next.
			u.quiet, u.handover, u.handoverOf, u.releaseBy = true, u.resume, k.membership.claimOf(u.Unit), k.now()
		}
		k.become(u, messages.PhaseDraining)
	case messages.InstanceQuiet:
		u.quiet, u.handover, u.handoverOf, u.releaseBy = true, e.Handover, u.epoch, k.now().Add(releaseAfter(u.config))
	case messages.InstanceFailed:
		k.fail(u, u.ordered.Digest, e.Reason)
		k.become(u, messages.PhaseFailed)
	case messages.InstanceStopped:
		u.pending = e.Pending
		if e.Problem != "" {
			u.lastError = e.Problem
		}
		fields := []zap.Field{zap.Uint64("generation", generation), zap.Stringer("reason", u.asked), zap.Uint64("pending", e.Pending)}
		if e.Problem != "" {
			fields = append(fields, zap.String("problem", e.Problem))
		}
		u.logger.Info("instance released", fields...)
		u.told = true
		k.finish(u)
	}
	return true, true
}

// view is the unit as the decision sees it, by this session.
func (k *units) view(u *unit, session string) reshard.Instance {
	instance := u.view()
	if k.membership != nil && u.permit != nil && u.permit.session() != session {
		instance.Epoch, instance.HandoverOf = 0, 0 // of another session, and revisions come again in a store that has lost its data
	}
	return instance
}

// quarantined is the names of the configs that have failed here so often that others should try.
// When the next attempt is due, it may be made here.
func (k *units) quarantined(now time.Time) []string {
	var names []string
	for id := range k.gaveUp {
		u, known := k.all[id]
		if !known || !u.failures.Quarantined || u.local || u.failures.Digest != u.ordered.Digest || !now.Before(u.failures.NotBefore) {
			delete(k.gaveUp, id)
			continue
		}
		names = append(names, id.Config)
	}
	return names
}

// stopping are the stops of those that are stopping already, which there is less time for now.
func (k *units) stopping(within time.Duration) []messages.StopInstance {
	var stops []messages.StopInstance
	for _, u := range k.sorted() {
		if u.asked == messages.Shutdown && !u.terminated {
			stops = append(stops, messages.StopInstance{Unit: u.Unit, Generation: u.generation, Reason: u.asked, Within: within})
		}
	}
	return stops
}

// unfinished are those that have not ended, although their time is over.
func (k *units) unfinished() []messages.Unit {
	var left []messages.Unit
	for _, u := range k.sorted() {
		if !u.ended() {
			left = append(left, u.Unit)
			u.logger.Error("instance did not stop in time", zap.Uint64("generation", u.generation), zap.Stringer("phase", u.phase))
		}
	}
	return left
}

// checks is what each instance is told at a tick, in case it has not heard of it: everything that
// is wanted of it. Within bounds its draining.
func (k *units) checks(within time.Duration) []messages.CheckInstance {
	checks := make([]messages.CheckInstance, 0, len(k.all))
	for _, u := range k.sorted() {
		if u.pid == nil || u.terminated || u.ended() {
			continue
		}
		m := messages.CheckInstance{
			Unit: u.Unit, Generation: u.generation, Revision: u.ordered.Revision, Config: messages.NewConfig(u.ordered.Digest, u.config),
			Hold: !u.permit.free && u.epoch == 0, Resume: u.resume, Reason: u.asked,
		}
		if u.asked != messages.NotStopping {
			m.Within = within
		}
		checks = append(checks, m)
	}
	return checks
}

// become moves the unit to another phase.
func (k *units) become(u *unit, to messages.Phase) {
	if u.phase == to {
		return
	}
	if to == messages.PhaseRunning {
		k.running++
	}
	if u.phase == messages.PhaseRunning {
		k.running--
	}
	k.metrics.activeInstances.Set(float64(k.running))
	fields := []zap.Field{
		zap.Uint64("generation", u.generation), zap.Stringer("from", u.phase), zap.Stringer("to", to), zap.Int64("revision", u.ordered.Revision),
	}
	u.logger.Info("instance changed phase", append(fields, k.circumstances(u, to)...)...)
	u.phase, u.since = to, k.now()
	switch to {
	case messages.PhaseRunning:
		k.notify(messages.UnitStarted{Unit: u.Unit, Generation: u.generation, Revision: u.ordered.Revision})
	case messages.PhaseStopped:
		u.config = nil
		k.notify(messages.UnitStopped{Unit: u.Unit, Generation: u.generation, Reason: u.asked, Pending: u.pending})
	}
}

// circumstances are why a unit changes its phase, and which node had it before or has it next.
func (k *units) circumstances(u *unit, to messages.Phase) []zap.Field {
	var fields []zap.Field
	if to == messages.PhaseDraining {
		fields = append(fields, zap.Stringer("reason", u.asked))
	}
	if k.membership == nil {
		return fields
	}
	claim := k.membership.registry.Claims()[u.Unit]
	switch {
	case to == messages.PhaseRunning && u.tookOverFrom != "":
		fields = append(fields, zap.String("from_node", u.tookOverFrom), zap.Int64("epoch", u.epoch))
	case to == messages.PhaseRunning:
		fields = append(fields, zap.Int64("epoch", u.epoch))
	case u.asked == messages.Fenced:
		fields = append(fields, zap.String("to_node", claim.Node))
	case u.asked == messages.Moved && k.membership.owners != nil:
		owner, _ := k.membership.owners.Owner(u.Unit)
		fields = append(fields, zap.String("to_node", owner))
	}
	return fields
}

// fail remembers a failure of the unit with a config.
func (k *units) fail(u *unit, digest messages.Digest, reason string) {
	now := k.now()
	if k.health.Problem == "" {
		u.failures = u.failures.Add(k.policy, digest, now, k.Jitter())
	} else {
		u.failures = u.failures.Excuse(k.policy, digest, now, k.Jitter()) // the node is ill, and not the config
	}
	u.lastError = reason
	k.metrics.abnormalExits.WithLabelValues(u.Key()).Inc()
	fields := []zap.Field{zap.Uint64("generation", u.generation), zap.String("reason", reason), zap.Int("failures", u.failures.Count)}
	if u.failures.Quarantined {
		k.gaveUp[u.Unit] = true
		u.logger.Error("instance quarantined", fields...)
		k.notify(messages.UnitQuarantined{Unit: u.Unit, Reason: reason})
		return
	}
	k.notify(messages.UnitFailed{Unit: u.Unit, Generation: u.generation, Reason: reason, NextAttempt: u.failures.NotBefore})
	u.logger.Warn("instance failed", append(fields, zap.Duration("backoff", u.failures.NotBefore.Sub(now)))...)
}

// finish ends the generation if its actor is gone and everything it held is released.
func (k *units) finish(u *unit) {
	if u.terminated && u.told && !u.ended() {
		u.running = reshard.Version{}
		k.become(u, messages.PhaseStopped)
	}
}

// finishSilent ends generations that are over and whose last words were lost, or the word of the
// end of their actor. It gives them until the next tick if they have ended just now, since these
// may only be late.
func (k *units) finishSilent() {
	now := k.now()
	for _, u := range k.sorted() {
		if u.ended() || !u.isOver() {
			continue
		}
		if u.overSince.IsZero() {
			u.overSince = now
		}
		if u.terminated && now.Sub(u.terminatedAt) < lateWords || !u.terminated && u.overSince.Equal(now) {
			continue
		}
		if u.asked == messages.NotStopping && u.phase != messages.PhaseFailed {
			k.fail(u, u.ordered.Digest, "the instance ended without saying why")
		}
		u.told, u.terminated = true, true
		delete(k.byPID, u.pid.Id)
		k.finish(u)
	}
}

// releaseAfter is how long a unit that has stopped scraping may send what is left before its claim
// is released: not so long that who takes over misses a tick.
func releaseAfter(c *config.Instance) time.Duration {
	shortest := time.Duration(0)
	if c != nil {
		for _, job := range c.ScrapeConfigs {
			if interval := time.Duration(job.ScrapeInterval); shortest == 0 || interval < shortest {
				shortest = interval
			}
		}
	}
	return cmp.Or(shortest*7/10, defaultReleaseAfter)
}

// run lets the unit scrape by the claim of this node's session, and returns it.
func (k *units) run(run reshard.Run, session string) *unit {
	u := k.all[run.Unit]
	u.epoch = run.Epoch
	u.permit.allow(session)
	return u
}

// claiming notes that the unit is being claimed. What is known of a released one is kept, for its
// record is about to be written over.
func (k *units) claiming(id messages.Unit, before messages.Claim) {
	u, ok := k.all[id]
	switch {
	case !ok:
	case before.Released:
		u.resume, u.tookOverFrom = before.Handover, before.Node
	case !before.Held() || before.Revision != u.claimed:
		u.resume = "" // what this process knows is from before others ran it, maybe
	}
}

// claimed notes that this process has written the claim.
func (k *units) claimed(claim messages.Claim) {
	if u, ok := k.all[claim.Unit]; ok {
		u.claimed = claim.Revision
	}
}

// refused notes that others may have run a unit which waits here for a claim of this session, since
// somebody else has claimed it. It reports whether that is so.
func (k *units) refused(record reshard.Record, session string) bool {
	u, ok := k.all[record.Unit]
	if !ok || record.Intent || u.epoch == 0 || u.permit == nil || u.permit.session() == session {
		return false
	}
	u.contested = true
	return true
}

// heardOf takes in a claim. A handover has no use any more when it is in the store, or others have
// scraped since: neither for who scrapes next nor for an instance of this node that waits, since a
// store that is restored from a backup may bring back the claim of before.
func (k *units) heardOf(claim messages.Claim, self string) {
	u, ok := k.all[claim.Unit]
	if ok && claim.Revision > u.handoverOf && (claim.Released || claim.Node != self) {
		u.handover, u.handoverOf = "", 0
		if u.epoch == 0 {
			u.resume = ""
		}
	}
}

// othersMayHaveRun notes that others may have run what has been let scrape here.
func (k *units) othersMayHaveRun() {
	for _, u := range k.all {
		u.contested = u.epoch != 0
	}
}

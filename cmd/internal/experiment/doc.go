// Package experiment runs experiments in chaos engineering: it asks whether a cluster is well,
// breaks it on a timeline, ends what it broke, and says whether the cluster was as well as the
// hypothesis holds.
//
// An [Experiment] is read from YAML by [Parse]. [Run] plays it in a [Lab], which knows how to reach
// the cluster: [API] over HTTP, [Processes] with the agents as processes, which can be killed and
// paused too. The [Report] is a sentence, JSON, JUnit, or a page.
//
// It owns the order of things: whatever happens, also when its context ends, all faults are ended
// and all nodes are running again before Run returns. It refuses to own the faults, which the
// agents end by themselves, too.
package experiment

// Package around has the wrappers that break what surrounds the actors, as the rules of a
// fault.Registry say: the store, gossip, the disk under the logs, requests to targets and
// receivers, service discovery, the clock, and the process itself.
//
// Each wrapper returns what it was given if the registry is nil, so that an agent without faults
// runs without them. None keeps a goroutine of its own, except Process, which runs until its
// context is over.
//
// It owns no rules and decides nothing: the registry does. It is linked into the agent, unlike the
// fakes of the packages whose names end in test.
package around

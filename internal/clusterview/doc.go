// Package clusterview is what the HTTP API shows of a running node and of its cluster, put together
// from the supervisor's description, from gossip and from the running pipelines: members, units,
// moves, plans, instances, targets, and whether the node is ready.
//
// Its door is New, whose View implements the interfaces that package web declares. It owns how
// things are called towards users. It refuses to decide or to change anything: Retry and Forget
// pass on what a person asked for, and the actors decide. A View may be used by any number of
// goroutines, and starts none.
package clusterview

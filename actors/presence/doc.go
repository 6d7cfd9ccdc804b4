// Package presence decides what a node does to be a member of its cluster, and who the members are.
// It is pure: the time is an argument, and there is no clock, log or I/O.
//
// [Step] takes the node from no session to a session with a member record, keeps the record as it
// should be, and ends both. It is a function of a [State] and an [Input]; what is to be done comes
// back as an [Effect], one call of the store at a time. A phase changes only along the table in
// phases.go. What was lost is made good by the next Looked: nothing waits for one message.
//
// [Ring] says who is on the ring, once the members have not changed for a while. [Roll] says who
// the members were before a fault: a cluster that falls apart must not believe that it is whole
// because it has ended the sessions of the rest.
//
// Whether the node may scrape, and whether it may end another one's session, is for package fencing
// to say.
package presence

// Package etcdstore is a cluster.Store on etcd: an external cluster (Dial), or a server inside this
// process (StartEmbedded), which is how an agent works with nothing installed.
//
// It owns the client's connection and tells the log, once per change and every half minute, whether
// the store can be reached and if not, which endpoint fails and why. It refuses to decide anything
// on that: calls return errors, watches retry, sessions keep trying, and nothing is ever concluded
// from silence.
//
// The embedded server has one member and no listener: no port, no socket, nothing for other users
// of the host to connect to. The client calls it through memory. Its directory is locked, so that a
// second agent gets an error instead of waiting for the first. When etcd gives up (it aborts its
// process on a disk error), only the store fails; the process goes on.
//
// With a Quorum the embedded servers of three, five or seven agents are one etcd cluster, and
// listen for each other. Each agent uses its own member only. A majority has to be there; without
// one, calls fail, watches wait and sessions are neither renewed nor lost, and all goes on once a
// majority is back.
//
// The list of members is fixed. The first start of a cluster takes all its members, because only
// then is it certain that none of them has data that a new cluster would bury. After that a member
// with data never waits for others, and one without is refused with ErrDataLost: it has forgotten
// what it voted for. To replace it, call ReplaceMember on another member, then start it with its
// empty directory; it gets its data from the others. If a majority has lost its data, the cluster
// can't go on: stop all members, empty all directories, start them and upload the configs again.
// The same goes for moving a member to another address, or changing their number.
//
// A Store may be used by any number of goroutines. Each watch and each session has one goroutine, a
// store of an external cluster or of a quorum one more, and all of them end with Close; of the
// connections between members the last is gone five seconds later. Logging goes to the logger that
// was passed in, etcd's own included. There is no global state of this package; etcd's and gRPC's
// libraries register their metrics in Prometheus' default registry.
//
// The tests run the conformance suite of package storetest on the embedded server in memory and
// over a socket, and on an external etcd server when there is one on the PATH. Quorums run in one
// process, on loopback; one of their tests kills a member that is a process of its own.
package etcdstore

// Package etcdstore is a cluster.Store on etcd: an external cluster (Dial), or a server inside this process
// (StartEmbedded), which is how an agent works with nothing installed.
//
// It owns the client's connection and tells the log, once per change and every half minute, whether the store can be
// reached and if not, which endpoint fails and why. It refuses to decide anything on that: calls return errors, watches
// retry, sessions keep trying, and nothing is ever concluded from silence.
//
// The embedded server has one member and no listener: no port, no socket, nothing for other users of the host to
// connect to. The client calls it through memory. Its directory is locked, so that a second agent gets an error instead of
// waiting for the first. When etcd gives up (it aborts its process on a disk error), only the store fails; the process goes on.
//
// A Store may be used by any number of goroutines. Each watch and each session has one goroutine, a store of an external
// cluster one more, and all of them end with Close. Logging goes to the logger that was passed in, etcd's own included. There
// is no global state of this package; etcd's and gRPC's libraries register their metrics in Prometheus' default registry.
//
// The tests run the conformance suite of package storetest on the embedded server in memory and over a socket, and on an
// external etcd server when there is one on the PATH.
package etcdstore

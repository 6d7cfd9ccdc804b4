// Package memstore is a cluster.Store in memory, for tests and for one-shot use.
//
// A Server holds the keys, their history and the sessions; a Client is one node's connection to it
// and implements cluster.Store. Several clients of one server see the same keys, as several nodes
// see one etcd. Nothing is durable: the content lives as long as the Server.
//
// The package is deterministic: revisions and session IDs count up from 1 in the order of the
// calls, and time comes from a Clock (the real one by default, which is the virtual one inside
// testing/synctest). It can be broken on purpose: a Client can lose its server or fail its next
// calls, a Server can compact its history or lose its content.
//
// Server and Client may be used by any number of goroutines. Each watch has one goroutine, which
// ends with the watch's context or with its Client; sessions have timers only. The tests are the
// conformance suite of package storetest, tables for the faults, and expiry under virtual time.
package memstore

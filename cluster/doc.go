// Package cluster is the contract between the nodes of one cluster: the key-value store they share,
// and the repositories that live in it: of instance configs, and of members, claims and intents.
//
// It owns the words (Store, Entry, Revision, Session, Event) and what they promise, and it knows
// how a config is kept in a store (Configs: gzip of the text the user wrote), and how nodes speak
// of themselves there (Registry: JSON records). It refuses to own any connection: implementations
// live in subpackages (etcdstore for etcd and for etcds inside of agents, consulstore for Consul,
// memstore for tests and one-shot use). Who should run what, and who may, is its callers' business.
//
// A Store, a Configs and a Registry may be used by any number of goroutines. No goroutine is
// started here.
//
// Package storetest is the conformance suite for Store: every sentence of store.go that a test can
// hold is held there, for every implementation. Tests of this package run on memstore.
package cluster

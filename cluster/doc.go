// Package cluster is the contract between the nodes of one cluster: the key-value store they share, and the
// repository of instance configs that lives in it.
//
// It owns the words (Store, Entry, Revision, Session, Event) and what they promise, and it knows how a config is kept
// in a store (Configs: gzip of the text the user wrote). It refuses to own any connection: implementations live in
// subpackages (etcdstore for etcd and for an etcd inside this process, memstore for tests and one-shot use), and what is
// done with the keys (membership, claims, ownership) is its callers' business.
//
// A Store and a Configs may be used by any number of goroutines. The only goroutines started here are those of
// Configs.Watch, one per watch, and each ends with the context it was given.
//
// Package storetest is the conformance suite for Store: every sentence of store.go that a test can hold is held there,
// for every implementation. Tests of this package run on memstore.
package cluster

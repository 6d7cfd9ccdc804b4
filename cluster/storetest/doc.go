// Package storetest is the conformance suite of cluster.Store: what store.go says, as tests. Every
// implementation runs it from its own tests.
//
// The suite knows nothing but the interface. What it can't do through that, it asks of the store by
// type assertion (Compacter, Rewinder, Sharer), and skips the tests concerned if the store has no
// such method; test adapters provide them. A store that can't keep the whole contract says so in
// the same way (Forgetful, Limited). cluster.IdleSessions, which not every store can offer, is
// tested where it is there. Tests wait for events and conditions, never for time, and assert
// nothing on speed.
package storetest

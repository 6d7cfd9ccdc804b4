// Package consultest is a stand-in for Consul in tests: an HTTP server on loopback with the part of
// Consul's HTTP API that package consulstore uses, and that part as exactly as Consul's
// documentation and its public source describe it.
//
// What it has: KV (read, list with recurse, set, cas, acquire, release, delete, blocking queries),
// transactions, sessions with TTL, behaviour and lock delay, ACL tokens, tombstones. What it can do
// on purpose: fail (Intercept), be away (Stop, Resume), lose everything (Wipe), go back to a
// snapshot (Snapshot, Restore), forget tombstones (ReapTombstones). What it refuses to be: a
// cluster. There is one server, which is always the leader, so every read is consistent.
//
// Each rule stands beside the code that follows it, with the place where Consul states it: "KV
// API", "Txn API", "Session API", "Blocking queries" and "Sessions" are pages of Consul's
// documentation (api-docs/kv, api-docs/txn, api-docs/session, api-docs/features/blocking,
// docs/dynamic-app-config/sessions), state/kvs.go and the like are files of its source.
//
// Each rule that needs nothing but Consul's API has a test that runs on both, if a real Consul is
// there (StartProcess; task consul).
//
// A Server may be used by any number of goroutines. Close ends all that it started. It is never
// linked into a binary.
package consultest

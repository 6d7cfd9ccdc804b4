// Package consulstore is a cluster.Store on Consul's KV store, 1.14 or later (older ones lack the
// verb get-or-empty). Its tests run on package consultest, a stand-in, and, with -args
// -consul=PATH, on a real Consul; task consul builds one (1.22).
//
// It owns the HTTP client, and tells the log, once per change and every half minute, whether Consul
// can be reached. It refuses to decide anything on that: calls return errors, watches retry,
// sessions keep trying, nothing is concluded from silence.
//
// # What is what in Consul
//
// A revision is Consul's index: an entry's is its ModifyIndex, a listing's is X-Consul-Index. A
// write is one transaction (/v1/txn): it is read first, judged here, and written under the
// condition that what was read has not changed; if it has, all is done again. Every write has
// random Flags, because Consul takes a write that changes nothing for none. A key that is bound to
// a session is locked with it, and the session's behaviour is "delete". A watch is a blocking
// query.
//
// # What is different from other stores
//
//   - A value has at most MaxValue bytes, where the contract asks for 1 MiB: transactions are limited to 512 KiB of
//     base64. A larger one is an error that names the limit.
//   - A transaction has at most 128 operations, and a put that creates a bound key takes two. A Batch that needs more is split:
//     each part is one step at one revision, and a part may fail after others were written.
//   - Consul doesn't tell deletions, so a watch compares listings. It knows what was deleted since a List of the same prefix
//     through the same Store, and since revision 0. From any other revision it is told to relist, unless nothing happened since.
//     The revision of an EventDelete is that of the listing that lacked the key: the deletion's, unless more happened since.
//   - Each change under a watched prefix costs Consul one listing of it, at most WatchRateLimit times a second; a quiet
//     prefix one listing of names in ten seconds.
//   - A session's TTL is 10 s at least, and Consul ends it two TTLs after its last renewal, later when its leader changes: keys of
//     a node that died without a word vanish after 20 s by default. Nothing tells how long a session was not renewed, so
//     cluster.IdleSessions is not offered. A session that is ended in order frees its keys at once: its lock delay is 0.
//   - Without Config.ConsistentReads, Get, List and Watch trust the leader's lease (Consul's default mode): a leader that was
//     cut off may answer with the past for a moment. Conditions and sessions are always judged by consistent reads.
//   - A session belongs to a node of Consul's catalog and ends with it: to SessionNode if the token may register that, else to the
//     node of the Consul agent that is asked. It is read back once, because Consul ignores a body whose length it isn't told.
//   - A restored snapshot answers blocked queries at once, with what was before: an early answer without news makes a watch look.
//
// Transactions carry keys that URLs can't (Consul 1.22 cleans them there like paths, and other
// versions are stricter); a byte that is not UTF-8 is written as \x1a and two hex digits. Prefixes
// do travel in URLs: what is behind the first character that can't is compared here. So prefixes of
// letters, digits, "-", "_", "," and "/" are the cheap ones, and Config.Prefixes accepts no others.
//
// A token that may not read all of a prefix makes listings fail, rather than look as if keys had
// been deleted.
//
// A Store may be used by any number of goroutines. Each watch and each session has one goroutine,
// which ends with Close. HashiCorp's library reads what Config leaves open from Consul's own
// environment variables (CONSUL_HTTP_TOKEN, CONSUL_CACERT, CONSUL_NAMESPACE and the like). There is
// no global state.
package consulstore

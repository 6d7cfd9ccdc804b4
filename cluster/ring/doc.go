// Package ring says which member of a cluster owns which key: consistent hashing with random tokens.
//
// Each member holds tokens, points of a key space of 32 bits. A key belongs to the member whose
// token is closest without going over it, around the end of the space where none is. So a member
// that joins takes over from others what is behind its tokens, about 1/(N+1) of all keys, and one
// that leaves gives its own keys away; no key moves between two that stay. Replicas go to the
// members that follow.
//
// The package is pure. It owns the lookup, the hash of names, the choice of tokens, and what a
// change of members would move (Forecast). It refuses to know who is a member and since when:
// whether the members are settled is decided by whoever makes the ring, and an empty ring has no
// owner for anything. A Ring is immutable and may be read by any number of goroutines; a change of
// members makes a new one.
//
// # The hash
//
// Key is 32 bits of xxhash64. What it needs is that names which hardly differ end far apart. FNV-1,
// which Grafana Agent used, multiplies first and mixes in the last byte after it, so app-1 … app-9
// differ in their last bits only and lie within one gap between two tokens: of 100 such names on 10
// members the fullest has three times the mean, and 3.5 members have none.
//
// # Balance
//
// What the fullest member has, divided by the mean: median and 95th percentile of 300 draws of 128
// random tokens per member. Names are app-0, app-1 …
//
//	members   key space     100 names     300 names     1000 names    10,000 names
//	      3   1.07  1.16    1.14  1.32    1.10  1.25    1.08  1.20    1.07  1.16
//	     10   1.14  1.24    1.50  1.90    1.30  1.53    1.21  1.37    1.15  1.24
//	     50   1.20  1.29    3.00  3.50    2.00  2.50    1.60  1.85    1.26  1.38
//
// The key space is divided well enough by random tokens: 512 of them would bring 10 members from
// 1.14 to 1.07. What is left where names are few is the throw of the names themselves (100 balls
// into 50 boxes), which no choice of tokens mends.
//
// A lookup is a binary search that allocates nothing: 50 ns among 50 members; a ring of 50 is made
// in 0.6 ms (BenchmarkOwnerAmong50, BenchmarkNew50).
//
// Tests hold the ring against a twin that looks at every token of every member, in seeded random
// worlds with tokens that collide; the table is what TestMembersOwnAboutTheSame prints.
package ring

// Package knowledge folds what a node hears of its store into what it knows. It is pure: no clock,
// log, metric or I/O.
//
//   - [Catalog] is the stored configs. It drops what is stale and holds back what looks wrong, so that an empty or truncated answer is
//     not taken for a deletion.
//   - [Records] is the members, claims and intents. In whatever order, doubled or late, events and listings lead to the state of the
//     newest.
//
// Package reshard decides by what is known here; this package decides nothing about instances. A
// Catalog and a Records belong to one goroutine. The tests are tables, and a twin for the Records
// that keeps every event.
package knowledge

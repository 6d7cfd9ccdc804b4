// Package web is an agent's HTTP interface: the configs API that users of Grafana Agent know, what
// runs on this node and on all of them, remote write into a running instance, the ring, health,
// reload, metrics, profiles, and pages for people, of which package pages knows how they look.
// docs/api.md is its reference.
//
// New returns an http.Handler. Listening, TLS and authentication are the caller's; NewHTTPServer
// gives an http.Server whose timeouts protect against slow clients.
//
// # What it owns
//
// Routing, decoding and bounding of what strangers send: names (percent-decoded once, checked),
// bodies (capped, also after decompression, and in number while they are decoded), conditions
// (If-Match, If-None-Match), and the shape of every answer. A panic in a handler becomes a 500 and
// a log line, never the end of the process.
//
// # What it refuses to own
//
// State. Everything it shows or changes belongs to someone else and is reached through the small
// interfaces of this package: Configs (the repository in the store), Instances (what runs here),
// Inspector (a closer look at it), Ring (who shares the work), Cluster (who runs what), and a few
// functions in Options. It keeps nothing between two requests but counters and, bounded and in
// memory, the texts that uploads replaced; no goroutine of it outlives a request. It knows nothing
// of actors, logs on disk or scraping, and imports of our packages only cluster, config, redact and
// pages.
//
// # Other nodes
//
// Who runs what is known to every node from the store, so it is answered without asking anybody.
// What only the node itself knows (its targets, its instances' errors) is asked for over HTTP, at
// the addresses in the members' records: each node answers its own part of a page, with the same
// cursor, and the parts are merged, so no answer grows with the cluster. Nodes are asked at the
// same time, all within Options.PeerTimeout; one that does not answer, or under whose address
// another node answers, is named beside the rest and fails nothing. A node that is asked by a node
// asks nobody. The caller's Authorization goes along, to nobody but members, and never from TLS to
// plain text.
//
// # Names
//
// Paths are matched before they are decoded, so that the %2F in /agent/api/v1/config/a%2Fb belongs
// to the name (the key a/b) and never separates. A plus is a plus.
//
// # Concurrency
//
// A Server may be used by any number of goroutines. Of the interfaces, every method is called
// concurrently and with the request's context; calls that reach the store are bounded by
// Options.StoreTimeout.
//
// # Tests
//
// Every status of every endpoint in tables over httptest, with fakes behind the interfaces
// (agentctl's tests put the real repository there); pages of sites with something of everything,
// and of ten thousand configs; fuzzing of the path, the name, the conditions, cursors and
// remote-write bodies; panics, slow stores, peers that hang or lie, and oversized bodies on
// purpose. Walks over pages of several nodes, in seeded random worlds, miss and repeat nothing.
package web

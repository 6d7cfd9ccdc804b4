// Package web is an agent's HTTP interface: the configs API that users of the retired scraping service know, what runs
// on this node, remote write into a running instance, the ring, health, reload, metrics, profiles, and two plain pages
// for people (/ and /debug/ring). docs/api.md is its reference.
//
// New returns an http.Handler. Listening, TLS and authentication are the caller's; NewHTTPServer gives an http.Server
// whose timeouts protect against slow clients.
//
// # What it owns
//
// Routing, decoding and bounding of what strangers send: names (percent-decoded once, checked), bodies (capped, also
// after decompression, and in number while they are decoded), conditions (If-Match, If-None-Match), and the shape of
// every answer. A panic in a handler becomes a 500 and a log line, never the end of the process.
//
// # What it refuses to own
//
// State. Everything it shows or changes belongs to someone else and is reached through the small interfaces of this
// package: Configs (the repository in the store), Instances (what runs here), Ring (who shares the work), and a few
// functions in Options. It starts no goroutine and keeps nothing between two requests but counters. It knows nothing
// of actors, logs on disk or scraping, and imports of our packages only cluster and config.
//
// # Names
//
// Paths are matched before they are decoded, so that the %2F in /agent/api/v1/config/a%2Fb belongs to the name (the
// key a/b) and never separates. A plus is a plus.
//
// # Concurrency
//
// A Server may be used by any number of goroutines. Of the interfaces, every method is called concurrently and with
// the request's context; calls that reach the store are bounded by Options.StoreTimeout.
//
// # Tests
//
// Every status of every endpoint in tables over httptest, with fakes behind the interfaces (agentctl's tests put the real
// repository there); golden files for the pages; fuzzing of the path, the name, the conditions and remote-write bodies;
// panics, slow stores and oversized bodies on purpose.
package web

// Package node runs agents as processes of their own: it writes their agent.yaml, starts, stops and
// kills them, and talks to their HTTP API as any user does. The demo of a cluster and the tests
// with real clusters stand on it.
//
// A Node owns its process and its directory's agent.yaml and agent.log. It does not own what the
// agent writes there, so a Node that is started again finds what it left. Its standard input is a
// pipe that ends with the process that started it, however that ends.
//
// A Node belongs to one goroutine at a time, except that Running, Ready, Get and Put may be called
// by any.
package node

// Package daemon puts an agent together: store, actors, data path, HTTP API. Run starts everything in the order in which it
// depends on each other, and stops it in the reverse order; the first part that ends takes the others down.
//
// It owns the assembly and the reload of agent.yaml. It does not own flags, signals or the exit code: those are cmd/agent's. It
// has no globals, so that several agents can run in one process.
//
// What it decides (what a reload may change, who may listen where) and its start and stop are tested here; cmd/internal/processtest
// runs the real thing.
package daemon

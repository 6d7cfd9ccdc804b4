// Package daemon puts an agent together: listener, store, gossip, actors, data path, HTTP API. Run
// starts everything in the order in which it depends on each other, and stops it in the reverse
// order; the first part that ends takes the others down.
//
// It owns the assembly, the reload of agent.yaml, and what a node is called by others: its name,
// its address, its tokens. It does not own flags, signals or the exit code: those are cmd/agent's.
// It has no globals, so that several agents can run in one process.
//
// # Alone or with others
//
// With a store that only this process reaches (memory, a single embedded server) the node runs
// everything itself. With any other it is a member of the cluster of those that use the store under
// the same prefixes. Then it gossips from before the tree starts until after it has ended, for what
// others hear of it has to be true as long as anything of it runs; and the store is closed last. A
// store that is away does not keep a node from starting, which then goes by what it knew (package
// lastknown), nor from ending. Only the embedded servers of several agents wait for each other, the
// first time. HTTP requests are answered from the first moment on.
//
// Beside the logs, in .ring, are the node's tokens and what it knew of the store.
//
// What it decides (what a reload may change, who may listen where, what others are told) and its
// start and stop are tested here, with several agents on one store in memory;
// cmd/internal/processtest and cmd/internal/clustertest run the real thing.
package daemon

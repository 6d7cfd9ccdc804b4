// Package config turns YAML text into validated, immutable values: the agent's own file (LoadAgent,
// Agent) and one instance config (ParseInstance, Instance).
//
// It owns: strict decoding, defaults, validation, the equality of configs (Digest), which configs
// may name files, which parts of a config may be shown to people (Masked), and the names of
// configs. It refuses to own reading files, flags and the environment (callers pass bytes and a
// lookup function), and acting on what it decoded.
//
// Text is parsed to a tree of nodes that know their lines. A schema, read by reflection from the
// very Go types that are decoded into (service discoveries included, as far as they are linked into
// the binary), is laid over the tree, and four walks use it: structure finds unknown and repeated
// keys, explain finds each value that does not decode, files finds keys that name files, mask
// replaces secrets. Because of that one schema none of the walks can know less than the decoder
// does.
//
// Errors come all at once, as Errors: each has a line, the path of its field, what is wrong and
// what to do. An error about one value leaves out that value and goes on; a block whose own rules
// cannot be checked without the value is not blamed for it. Error texts never repeat a secret.
//
// Everything returned is immutable and may be shared between goroutines; an Instance shares its
// Global with others. The package starts no goroutines, and keeps no state but what it has derived
// from Go types.
//
// Tests: tables of error texts and a golden file of a config in which everything is wrong; a
// comparison with what Prometheus' own loader makes of the same text; reflection over the linked
// discoveries, so that a new key that names a file or holds a secret is noticed; fuzzing of both
// entry points.
package config

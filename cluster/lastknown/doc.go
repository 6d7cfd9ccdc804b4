// Package lastknown keeps on disk what a node knew of its store, so that a restart while the store
// is away goes on where the node was: the configs, the members, and the claims of the node's last
// session.
//
// It owns one bbolt file. It decides nothing: what is read back is evidence of the past, and
// package actors says what that is worth. The file holds configs as users wrote them, secrets
// included, so it is readable by its owner only.
//
// A file that can't be read is moved aside, under a name that Open tells, and a new one is begun:
// the store is the truth, this is a copy. A Memory may be used by several goroutines. Tests are in
// this package; damaged files are among them.
package lastknown

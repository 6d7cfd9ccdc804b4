// Package ringactor is the actor that makes a node a member of its cluster. It holds the node's
// session and member record, folds members and gossip into a ring, writes the claims and intents
// that the supervisor asks for, says by way of [Permits] whether the node may scrape, and ends the
// sessions of others where package fencing allows it.
//
// It decides nothing itself: package presence says what to do about session, record and ring,
// package fencing what a node may do. What is here asks them and performs. [New] is the door; the
// conversation with the supervisor is in messages/ring.go.
//
// # Concurrency
//
// Everything but Permits belongs to the actor. What takes time runs in goroutines; each leaves its
// outcome in a place of its own before it sends a message about it, and every message, and every
// look, takes up all outcomes that are there. So no lost message holds anything up for longer than
// a look; and if the message that brings the next look is lost, the next one of any kind makes up
// for it.
//
// A session lives as long as the actor: when that stops, for whatever reason, the session is ended,
// or not renewed any more.
package ringactor

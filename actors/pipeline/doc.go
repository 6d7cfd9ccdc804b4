// Package pipeline puts the data path of one instance together: scrape → wal → remotewrite.
//
// A Factory holds what all instances of one process share (the WAL's syncer, HTTP clients, metrics)
// and makes the pipelines that instance actors run. A pipeline owns one WAL directory, one scraper
// and one remote-write queue, and nothing else knows two of them: wal and remotewrite don't import
// each other, and meet here through a thin adapter.
//
// In a cluster the same unit runs on one node after the other. What a pipeline tells the next one
// is a scrape.Scraper's handover; its log stays, and is drained where it is. Slices of a config
// share their discoveries in a process, replicas differ in the labels that they send, and each has
// a log of its own.
//
// The package refuses to decide anything: when to start, reload, stop or drain is the actor's
// business. Methods of one pipeline are called one at a time, except Targets, NextTick, Appendable
// and Endpoints, which anybody may call at any time.
//
// Samples never pass through an actor: what the scraper commits wakes the queue directly.
package pipeline

// Command demo shows the main job in one process and with nothing to install: an agent on the embedded store, three toy targets
// and a toy receiver. It uploads three configs through the public API, as a user would, and prints every few seconds
// how many samples were scraped, sent and received, and how many are pending.
//
// It owns a temporary directory, loopback ports that the system chooses, and everything it started; Ctrl-C ends it all.
// It links only the light service discoveries, so that a cold build takes about a minute.
package main

// Package toy has the two ends of the data path in their simplest form: a Target to be scraped and a Receiver of remote
// write that accounts for every scrape. The demo shows them, and the process tests believe nothing else.
//
// A Target counts its own scrapes in toy_scrapes_total. So a receiver that sees 1, 2, 3, … in timestamp order for a target
// knows that no scrape was lost, and one that sees a number twice at different times knows that one was doubled.
//
// Both are http.Handlers and may be used concurrently. They own no goroutine, port or file.
package toy

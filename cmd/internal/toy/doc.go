// Package toy has the two ends of the data path in their simplest form: a Target to be scraped and
// a Receiver of remote write that accounts for every scrape. The demo shows them, and the process
// tests believe nothing else.
//
// A Target counts its own scrapes in toy_scrapes_total. So a receiver that sees 1, 2, 3, … in
// timestamp order for a target knows that no scrape was lost, and one that sees a number twice at
// different times knows that one was doubled.
//
// Targets and a Ledger do the same for hundreds of configs that several agents share: Targets
// remember when each scrape came, the Ledger who committed it and at what time, and a Schedule
// tells which ticks were missed and which were taken twice. So both ends can be asked, and have to
// agree.
//
// All of them are http.Handlers and may be used concurrently, but for Schedule, which is a value.
// They own no goroutine, port or file.
package toy

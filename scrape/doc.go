// Package scrape discovers and scrapes the targets of one instance and appends what it finds to a
// storage.AppendableV2.
//
// It owns the scrape schedule, the requests to targets, the service discoveries of an instance, and
// the staleness markers. It does not own the samples (the appendable does), the validation and
// defaults of a config (package config), or the decision when to run (the instance actor). The
// discoveries, target building, relabelling, parsers and HTTP clients are Prometheus'; the loop
// between them is our own and behaves like Prometheus' (see record 6 in docs/decisions). The seam
// is Scraper, Config, Target, Tick and Metadata.
//
// # From timer to commit
//
// loop.fire begins an attempt when the schedule says so · perform.go takes it through fetch
// (body.go, direct.go or a shared client), ingest (ingest.go, sample.go, fastpath.go, limits.go,
// cache.go with lines.go and families.go), report (report.go) and commit (gate.go) · alarms.go
// wakes what is due · pool.go makes loops those of the targets found · ends.go ends the series of
// those that have gone · apply.go carries a new config out · handover.go, carried.go and
// successor.go pass on what the next scraper needs.
//
// # What it may cost
//
// budget.go counts what an instance takes against its Budget; memory.go is the account of the
// process, from which answers of targets and of discoveries (answers.go) take their bytes, and
// which skips the heaviest instances while memory is short; processors.go has the heavy ones take
// turns, of which body.go, perform.go and discovery.go say where work begins and ends; pushed.go
// counts samples that were not scraped.
//
// # Ticks
//
// When a target is scraped depends on Options.Seed, the target's labels and URL, and its interval,
// and on nothing else; so every node of a cluster numbers its ticks alike. Handover tells after a
// stop which ticks were taken, Resume tells a successor, and each tick is scraped once wherever the
// target is; one that became due in between is made up for, late. A stop with HandOver chooses its
// moment (moment.go), so that this is rare. A scrape that is aborted, or vetoed by Options.Permit,
// leaves nothing; a vetoed one is tried again, after a pause that grows from 50 ms, until half of
// its interval is over. Staleness markers that such a scrape, or the end of a target or job, owes
// are written once there is a permit (ends.go). A scrape that takes longer than its interval skips
// ticks; the last of them is made up for at once.
//
// A handover also carries the open series of all targets and what discoveries have found
// (carried.go), in a bounded size. So a successor writes the markers of series that its first
// scrape lacks, and of targets that are not there any more, and it scrapes targets whose discovery
// has not reported to it yet (successor.go). Labels that discoveries find and relabelling drops are
// not carried.
//
// # Slices
//
// The targets of a config can be divided into slices, each with a scraper of its own (slice.go).
// The scrapers of one origin in a process share their discoveries (provider.go); each builds all
// targets and keeps its own. What discoveries count, each of them counts. Another number of slices
// can be told some time before an instant from which on it is in force: a tick that is due before
// is taken by the slice that the target leaves, and the next one by the one that gets it, wherever
// these are.
//
// # What differs from Prometheus
//
//   - The place in the interval: no host's name and no external label are part of it.
//   - A config with a job whose HTTP client or discovery can't be created (a missing CA file, say) is refused by Apply;
//     Prometheus logs it and goes on without the job.
//   - A reload waits for no scrape and restarts nothing: a target that both configs have goes on, also at another
//     interval. Its cache survives changes of intervals, of limits on samples, bodies and targets, of compression, of target
//     relabelling and of the HTTP client.
//   - The series of a job that a reload removes end with staleness markers at once. A job's running scrapes are cut off then.
//   - An update of a discovery that finds too much is refused, and the discovery is started again a
//     minute later (discovered.go). What it has not reported five minutes after its
//     first update is gone. While it finds too much, the config has what fits.
//   - While a changed discovery has not reported, its targets are those that the one before had found, for five minutes at most.
//   - Clients are shared by all jobs of the process with equal settings: thousands of instances with one HTTPS target each would
//     otherwise have a transport each. So the bound on idle connections, 20,000, is for them together.
//   - Start timestamps that are synthesized begin anew with a move, as with a restart, and with no reload.
//   - A stop can cut scrapes off, which then commit nothing: neither up 0 nor staleness markers.
//   - A body without a configured limit is cut off at 256 MiB, as one that exceeds its limit.
//   - An unwanted rest of a response is read for 64 KiB, not for ever.
//   - Requests to targets carry no OpenTelemetry headers. Options.Tracer gets spans of scrapes and commits, and none of requests.
//   - Metrics are summed over all scrapers of the process, and summaries have no quantiles; see Metrics.
//
// # Concurrency
//
// Apply, Start, Resume and Stop are for one goroutine at a time; Stop may wait for running scrapes,
// as its context says, and Apply for the running commits of removed jobs. Targets, DroppedTargets,
// Metadata, LastTicks, Handover, NextTick and Metrics never wait for a scrape. A loop is an alarm,
// and takes a worker of the process only while it scrapes. Its connection is a file descriptor,
// plus two goroutines if the target needs TLS, authentication or a proxy. A discovery adds two
// goroutines and its own. What Shared holds is held during scrapes only.
//
// Locks, outermost first: Scraper.life, discoveries.mu, Scraper.mu, loop.mu; providers.mu and
// provider.mu have none below them. The gate is held for reading during a commit, never under
// another lock but life; Scraper.mu may be taken under it. alarms.mu is innermost. Of those of the
// budgets, account.pressing comes before account.mu and meter.mu; these two are held for a few
// statements, and the book's alone is taken under them. A place of processors.go is waited for under
// no lock; processors.mu is innermost.
//
// # Panics
//
// Every goroutine that this package starts recovers, and tells Options.OnPanic with the stack. A
// panic of the appendable shuts the scraper: its state may be broken, and what is still scraped
// would be lost. A panic of a parser or of relabelling fails that target's scrape; others go on.
// What can't be recovered are panics in goroutines that a discovery or net/http start themselves.
//
// # Testing
//
// Package difftest runs the same scenarios through Prometheus' manager and compares every sample.
// Here, schedules, moves and reloads run in virtual time against targets in memory; connections and
// bad input against servers on loopback. BenchmarkLoop compares the cost with Prometheus' manager.
package scrape

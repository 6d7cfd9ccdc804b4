// Package scrape discovers and scrapes the targets of one instance, with Prometheus' own service discoveries and scrape loop, and
// appends what it finds to a storage.AppendableV2.
//
// It owns the scrape schedule, the connections to targets, the service discoveries of an instance, and the staleness markers of
// a config that is deleted. It does not own the samples (the appendable does), the validation and defaults of a config (package
// config), or the decision when to run (the instance actor). Nothing outside this package knows that the loop is Prometheus':
// the seam is Scraper, Config, Target and Metadata.
//
// # What differs from Prometheus
//
//   - A job in which only the targets changed is not restarted by a reload.
//   - A config with a job whose HTTP client or discovery can't be created (a missing CA file, say) is refused by Apply;
//     Prometheus logs it and goes on without the job.
//   - The series of a job that a reload removes end with staleness markers at once.
//   - Targets behind different unix sockets (__unix_socket__) need different addresses.
//   - Metrics are summed over all scrapers of the process; see Metrics.
//
// # Concurrency
//
// Apply, Start and Stop may wait for running scrapes; each is for one goroutine at a time. Targets, DroppedTargets, Metadata and
// Metrics never wait for a scrape. A static instance with one target has four goroutines: one of the manager, the scrape loop,
// and two of the kept-alive connection; two more after its first reload. Discoveries add one, and each of them two and its own.
// Nothing is polled: the timers of an idle instance are those of its scrape intervals and refresh intervals.
//
// # Panics
//
// A panic in the appendable, in a discovery's Run method, in the host filter or while a config is applied is recovered, with its
// stack; the scrape it happened in is rolled back. A panic of the appendable closes the scraper: its state may be broken, and
// what is still scraped would be lost. What can't be recovered are panics in goroutines that Prometheus' packages start and that
// don't call this package: in the parsers, in relabelling of targets and samples, and in goroutines that a discovery starts
// beside its Run method. These end the process.
//
// # Testing
//
// Tests run real scrapers against HTTP servers on loopback with an in-memory appendable, and wait for conditions.
package scrape

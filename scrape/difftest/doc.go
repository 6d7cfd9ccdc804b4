// Package difftest holds this project's scrape loop against Prometheus' own.
//
// It has no code but tests. A scenario is a config, what each target answers in each scrape
// interval, and what is reloaded in between. It runs twice, each time in a bubble of virtual time
// and over connections in memory: through Prometheus' scrape.Manager, and through scrape.Scraper.
// Compared is
//
//   - every committed transaction of every target: series, values to the bit, timestamps, start timestamps, histograms,
//     exemplars, metadata, family names, options and outcome of each append, in order (staleness markers, which Prometheus
//     appends in the order of a map, as a set);
//   - every request that a target sees, with its headers;
//   - what is shown of each target (state, error, URL, labels) and the metadata of their metrics, after each interval;
//   - which series are ended when a target is removed or its config changes.
//
// The storage underneath refuses what a real one refuses, so that both loops meet out-of-order
// samples, duplicates and partial errors. It also checks what no comparison can see: that a
// reference given belongs to the series, that strings it was given stay what they were, and that
// each appender is ended once.
//
// # What is not compared
//
// The place in the interval at which a target is scraped: a timestamp that is the scrape's is
// written as the number of its interval, explicit ones as they are. The value of
// scrape_duration_seconds. What was rolled back. When the series of a removed target end, and in
// which transaction.
//
// # What is different on purpose
//
// TestDeliberateDifferences and TestDeliberateDifferencesInTrouble show each:
//
//   - A change of static targets restarts nothing; in Prometheus it restarts all loops of the job, which forget their caches. The
//     other tests give Prometheus its targets as if a discovery had found them.
//   - A reload that changes a job keeps what is known of its targets. Prometheus forgets it, so that series which are gone end some
//     intervals later, or never, and what was said of a metric before is not known. Scenarios with keepsCache compare what is left.
//   - A target to which discovery gives another interval or timeout goes on. In Prometheus it ends and begins anew, so that a longer
//     interval puts staleness markers between the samples of its series.
//   - The series of a job that a reload removes end. In Prometheus they stay open.
//   - The metric family of a report series is its name. In Prometheus it ends in a byte 0xff.
//   - Protobuf series with a label that sorts before __name__ (in upper case, say) have their metadata. In Prometheus they lose it.
//   - A storage without a book that forgets a series which goes on gets the labels that the line has now, where Prometheus has kept
//     those of before. They differ if TYPE lines do. Options.Book rules this out: it holds the series, and the agent's log has one.
//   - A series that ends or begins in a scrape which is not committed, because the commit fails or is vetoed, ends or begins with the
//     next one. Prometheus has forgotten it, or ends what has never been. The markers of a removed target are tried again.
//   - While a changed discovery has not reported, its targets go on. In Prometheus they are gone until it has.
//   - A handover is none of Prometheus': the successor counts all series as added, and a target that has gone ends before it, also if it
//     comes back at once. Scenarios with moves compare how many markers each series has, and which are open then.
//   - A target that answers 101 Switching Protocols and falls silent fails a scrape. In Prometheus it ends all scrapes of the target.
package difftest

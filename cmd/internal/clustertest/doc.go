// Package clustertest measures what a cluster's data shows of joins, leaves, crashes, stalls and outages: real agents as processes, a real
// etcd or the embedded quorum, and between them targets and a receiver that account for every tick. It believes these two, which have to agree,
// and never the agents.
//
// Each row of the table is a test with a cluster of its own. As go test runs it, there are few configs and the rows that fit into a
// minute; with -args -full it is the whole table with 300 and 10,000 configs, printed as markdown (task cluster). A row that
// is not reached is in the table like the others, and fails its test.
//
// A tick is one scrape that the schedule of a target wants. The schedules are learned from the quiet time before the fault, at
// both ends: from the arrival of scrapes at the target, and from the timestamps of what was received. Package toy says how scrapes and ticks
// are matched.
//
// The package has no code that is linked anywhere.
package clustertest

// Package clustertest measures what a cluster's data shows of joins, leaves, crashes, stalls and
// outages: real agents as processes, a real etcd or the embedded quorum, and between them targets
// and a receiver that account for every tick. It believes these two, which have to agree, and never
// the agents.
//
// Each row of the table is a test with a cluster of its own. As go test runs it, there are few
// configs and the rows that fit into a minute; with -args -full it is the whole table with 300 and
// 10,000 configs, printed as markdown (task cluster). A row that is not reached is in the table
// like the others, and fails its test.
//
// A tick is one scrape that the schedule of a target wants. The schedules are learned from the
// timestamps of the quiet time before the fault. A tick is missed at the targets if none of the
// scrapes that they have seen was begun for it, and at the receiver if none of those was received;
// doubled if several were. Package toy says how scrapes and ticks are matched. A metronome tells
// for how long the machine itself had no time for anybody: what is late then is nobody's fault.
//
// Rows that divide the network run in network namespaces of their own, and the row of the full disk
// on a small file system: both need root, and are left out without it. A suspended machine is no
// row: processes can't have a clock that stands still for them, so that is shown with virtual time
// (actors/sim); a stopped process is the nearest to it here.
//
// The package has no code that is linked anywhere.
package clustertest

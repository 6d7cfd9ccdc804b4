// Command bench measures the whole agent beside its peers: Prometheus in agent mode and vmagent,
// each built from its module.
//
// All of them scrape the same targets and send to the same receiver, in turn, several times.
// Targets and receiver are a process of their own (the field), so that CPU time and memory are the
// agent's alone. The targets listen on loopback addresses of their own, as hosts would, and answer
// gzip. What is quoted is the median of the rounds, and the ratio to Prometheus.
//
// A figure says something about this machine at this time only; ratios of one run say more. No test
// asserts any of them.
//
//	go run ./cmd/internal/bench                          all shapes, three rounds: about two hours
//	go run ./cmd/internal/bench -shapes fat -rounds 1    a first look: five minutes
//	go run ./cmd/internal/bench -shapes fat,huge,thin,many,churn -rounds 1 -warm 20s -measured 40s -programs /tmp/programs
//	go run ./cmd/internal/bench -agents ringmaster -shapes fat -rounds 1 -profile /tmp/fat
//	go run ./cmd/internal/bench -restart 1073741824      a restart with so many bytes unsent
package main

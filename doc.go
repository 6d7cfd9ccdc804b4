// Package ringmaster is the root of a cluster of agents that shares the work of scraping Prometheus targets.
// It holds no code: ARCHITECTURE.md is the map, and the tests beside this file hold the house rules that a linter can't.
package ringmaster

//go:build !race

package web_test

// raceEnabled: the race detector makes everything about ten times slower.
const raceEnabled = false

// Package migrate makes a main file and configs of a config file of Prometheus or of Grafana Agent
// in static mode.
//
// It owns which blocks go where, which are renamed, and what is said of those that have no place
// here. It refuses to own the meaning of keys: package config decides whether the result is valid.
// Blocks are moved as nodes of YAML, so that comments and references to variables stay.
//
// Everything runs on the caller's goroutine. Tests compare with files in testdata.
package migrate

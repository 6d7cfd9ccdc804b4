// Package cli is agentctl's command line: flags, help and exit codes around the packages that do
// the work. Main is its only door; it touches nothing of the process but what Process hands it, so
// that tests run it as users do.
package cli

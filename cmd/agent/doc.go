// Command agent runs Prometheus scrape configs, each on its own, with its own log and its own
// remote write.
//
// It owns the process: flags, environment, signals and the exit code. Everything else is
// cmd/internal/daemon's. It exits with 0 after an orderly end, with 1 when something failed, and
// with 2 when the command line or the config is wrong.
//
//	agent                                    a scraping service of one on an embedded store, with its data in ./data-agent
//	agent -config.file=agent.yaml            as the file says
//	agent -config.file=agent.yaml -config.check
//
// All of Prometheus' service discoveries are linked in, unless it is built with -tags light.
package main

// Package apiclient calls the configs API of an agent, ours or one of Grafana Agent.
//
// It owns addressing (names are escaped), authentication, TLS, timeouts and retries, and it turns
// answers into values and typed errors. It refuses to own any decision about what to call: that is
// its callers'.
//
// Every call may be repeated by a retry. Conditions keep that safe: a Put whose first attempt was
// applied and whose answer got lost is recognised by the digest the server then reports.
//
// A Client may be used by any number of goroutines and starts none itself. Tests run against web
// over httptest.
package apiclient

package main

import (
	"testing"

	"go.uber.org/goleak"
)

// Some of Prometheus' discoveries, and libraries that they use, leave goroutines behind that hear
// of no end. Those of AWS ask for credentials until they have been refused three times.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/prometheus/prometheus/discovery/consul.(*Discovery).initialize"),
		goleak.IgnoreAnyFunction("github.com/prometheus/prometheus/discovery/xds.(*fetchDiscovery).Run"),
		goleak.IgnoreAnyFunction("github.com/Code-Hex/go-generics-cache.(*janitor).run.func1"),
		goleak.IgnoreAnyFunction("github.com/aws/aws-sdk-go-v2/aws.(*CredentialsCache).singleRetrieve"),
	)
}

package config

import (
	"testing"

	// The discoveries that tests decode. Each registers itself with Prometheus' decoder.
	_ "github.com/prometheus/prometheus/discovery/consul"
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	"github.com/stretchr/testify/require"
)

// mustParse parses an instance that may name files.
func mustParse(t *testing.T, name, text string) *Instance {
	t.Helper()
	i, err := ParseInstance(name, text, InstanceOptions{AllowFiles: true})
	require.NoError(t, err)
	return i
}

// problems parses an instance that must not be valid.
func problems(t *testing.T, text string, opts InstanceOptions) Errors {
	t.Helper()
	_, err := ParseInstance("app", text, opts)
	var errs Errors
	require.ErrorAs(t, err, &errs)
	return errs
}

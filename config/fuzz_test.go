package config

import (
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkErrors holds what is true of every error of this package.
func checkErrors(t *testing.T, err error, text string) {
	var errs Errors
	require.True(t, errors.As(err, &errs), "%T", err)
	require.NotEmpty(t, errs)
	for _, e := range errs {
		require.Positive(t, e.Line, text)
		require.NotEmpty(t, e.Problem)
		require.NotEmpty(t, e.File)
	}
}

func FuzzParseInstance(f *testing.F) {
	for _, seed := range []string{
		"", "name: a", everything, secretive, "a: &a [*a]", "a: {<<: *b}", "? {a: b}\n: c", "scrape_configs: [{<<: [{job_name: x}]}]",
		"scrape_configs:\n- job_name: a\n  relabel_configs: [{regex: '('}]\n", "remote_write: [{url: '://'}]", "!!binary x: y", "- - - -", "<<: {name: a}\n<<: {name: b}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		opts := InstanceOptions{AllowFiles: true}
		i, err := ParseInstance("app", text, opts)
		_, restricted := ParseInstance("app", text, InstanceOptions{})
		shown, maskErr := MaskInstance(text)
		if err != nil {
			checkErrors(t, err, text)
			require.Error(t, restricted, "a restriction makes nothing valid")
			return
		}
		again, err := ParseInstance("app", text, opts)
		require.NoError(t, err)
		require.Equal(t, i.Digest(), again.Digest())
		require.Len(t, again.ScrapeConfigs, len(i.ScrapeConfigs))
		for k, rw := range i.RemoteWrite {
			require.Equal(t, rw.Name, again.RemoteWrite[k].Name)
		}
		require.NoError(t, maskErr)
		twice, err := MaskInstance(shown)
		require.NoError(t, err, "%q", shown)
		require.Equal(t, shown, twice)
	})
}

func FuzzLoadAgent(f *testing.F) {
	broken, err := os.ReadFile("testdata/broken.yaml")
	require.NoError(f, err)
	f.Add(string(broken), "v")
	f.Add("metrics: {wal_directory: \"${A:-b}\"}", "\n")
	f.Add("metrics: {configs: [{name: a}]}", "")
	f.Add("metrics: {scraping_service: {kvstore: {store: etcd}}}", "x: [")
	f.Add("metrics: {scraping_service: {gossip: {join: [a], encryption_key: b}, replica_labels: {a: '{{replica}}', b: }, when_isolated: stop}}", "")
	f.Add("metrics: {scraping_service: {kvstore: {embedded: {"+threePeers+", peer_tls: {cert_file: a}}}, lifecycler: {id: a, ring: {kvstore: {etcd: {endpoints: [a]}}, replication_factor: 2}}}}", "")
	f.Fuzz(func(t *testing.T, text, value string) {
		opts := LoadOptions{ExpandEnv: true, LookupEnv: func(string) (string, bool) { return value, value != "" }}
		a, err := LoadAgent("agent.yaml", []byte(text), opts)
		if err != nil {
			checkErrors(t, err, text)
			return
		}
		again, err := LoadAgent("agent.yaml", []byte(text), opts)
		require.NoError(t, err)
		require.Equal(t, a.Metrics.Global.Digest(), again.Metrics.Global.Digest())
		require.Len(t, again.Metrics.Configs, len(a.Metrics.Configs))
		for i, c := range a.Metrics.Configs {
			require.Equal(t, c.Digest(), again.Metrics.Configs[i].Digest())
		}
		a.Masked()
	})
}

func FuzzParseGossipKey(f *testing.F) {
	f.Add("00112233445566778899aabbccddeeff")
	f.Add("AAAAAAAAAAAAAAAAAAAAAA==\n")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseGossipKey(text)
		if err == nil {
			require.Contains(t, []int{16, 24, 32}, len(key))
			again, err := ParseGossipKey(hex.EncodeToString(key))
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
	})
}

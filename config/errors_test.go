package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnUploadIsToldEverythingThatIsWrongWithIt(t *testing.T) {
	faults := []struct{ text, want string }{
		{"name: bogus\n", `name: the text says "bogus", but the config is uploaded as "t1"`},
		{"foo: 1\n", "foo: unknown key"},
		{"slices: 99\n", "slices: a config has 1 to"},
		{"wal_truncate_frequency: soon\n", `wal_truncate_frequency: "soon" is not a duration`},
		{"host_filter: maybe\n", "host_filter: this must be true or false"},
		{"host_filter_relabel_configs: [{regex: '('}]\n", "host_filter_relabel_configs[0].regex: "},
		{"remote_write: [{url: 'http://a/', bearer_token_file: /t}]\n", "remote_write[0].bearer_token_file: an uploaded config may not name files"},
		{"scrape_configs:\n- {job_name: a}\n- {job_name: a}\n- {job_name: b, scrape_interval: 1s}\n", "scrape_configs[1].job_name: "},
	}
	options := InstanceOptions{Limits: Limits{MinInterval: 5 * time.Second}}
	text := ""
	for _, f := range faults {
		_, _, _, err := ParseUpload("t1", f.text, options)
		require.ErrorContains(t, err, f.want)
		text += f.text
	}
	_, _, _, err := ParseUpload("t1", text, options)
	for _, f := range faults {
		require.ErrorContains(t, err, f.want)
	}
	require.ErrorContains(t, err, "scrape_configs[2].scrape_interval: the interval 1s is shorter than 5s")

	options.Limits.StaticTargets = 1
	_, _, _, err = ParseUpload("t1", "name: bogus\nfoo: 1\nremote_write: [{url: 'http://a/', bearer_token_file: /t}]\nscrape_configs: [{job_name: a, static_configs: [{targets: [a, b]}]}]", options)
	for _, want := range []string{faults[0].want, faults[1].want, faults[6].want, "static configs list 2 targets"} {
		require.ErrorContains(t, err, want, "of a config that is over its budget")
	}
	_, _, _, err = ParseUpload("t1", "? foo\n: 1\n? bar\n: 2\n", options)
	for _, want := range []string{"foo: unknown key", "bar: unknown key", "the name can't be inserted"} {
		require.ErrorContains(t, err, want)
	}
}

func TestAReferenceThatCannotBeReadHidesNoOtherError(t *testing.T) {
	text := "server: {log_level: ${A}}\nmetrics:\n  wal_max_size: ${B:-\n  bogus: 1\n  detail: '${C:-'\n"
	_, err := LoadAgent("a.yaml", []byte(text), LoadOptions{ExpandEnv: true, LookupEnv: func(string) (string, bool) { return "loud", true }})
	for _, want := range []string{
		`a.yaml:1: server.log_level: "loud" is not known here`, "a.yaml:3: a reference to a variable can't be read", "a.yaml:4: metrics.bogus: unknown key",
		"a.yaml:5: a reference to a variable can't be read",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "is not a size")
	require.NotContains(t, err.Error(), "metrics.detail")
}

package config

import (
	"testing"

	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"
)

// namedAs is what a reader like Grafana Agent, which takes the name from the text, finds in a
// stored text.
func namedAs(t *testing.T, text string) string {
	t.Helper()
	var f instanceFile
	require.NoError(t, yamlv2.UnmarshalStrict([]byte(text), &f), text)
	return f.Name
}

func TestEveryFormOfTextGetsItsName(t *testing.T) {
	const jobs = "scrape_configs: [{job_name: a}]"
	for _, text := range []string{
		jobs,
		"# a comment\n\n" + jobs + "\n",
		"---\n" + jobs + "\nslices: 2\n...\n",
		"%YAML 1.1\n---\n" + jobs + "\n",
		"  scrape_configs:\n  - job_name: a\n  slices: 2\n",
		"{" + jobs + ", slices: 2}",
		"--- {\n  " + jobs + "\n}\n",
		jobs + "\r\nslices: 2\r\n",
		"# äöü\nscrape_configs:\n- &a {job_name: ü}\nslices: 2",
	} {
		for _, name := range []string{"app", "team/a b", `quote " and \`, "yes", "1", "ü"} {
			line, at, err := NameLine("app", name, text)
			require.NoError(t, err, text)
			require.NotEmpty(t, line)
			stored := text[:at] + line + text[at:]
			require.Equal(t, name, namedAs(t, stored), stored)
			_, err = ParseInstance(name, stored, InstanceOptions{})
			require.NoError(t, err, stored)
		}
	}
}

func TestATextThatSaysItsNameIsStoredAsItIs(t *testing.T) {
	for _, text := range []string{"name: app\nslices: 2", "slices: 2\nname: 'app'", "{name: app}"} {
		line, at, err := NameLine("app", "app", text)
		require.NoError(t, err)
		require.Empty(t, line)
		require.Zero(t, at)
	}
}

func TestATextThatSaysAnotherNameIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"slices: 2\nname: other": `app:2: name: the text says "other", but the config is uploaded as "app"; remove the key, or make the two equal`,
		"name:\nslices: 2":       `app:1: name: the key has no value; remove it, or write name: "app"`,
	} {
		_, _, err := NameLine("app", "app", text)
		require.EqualError(t, err, want)
	}
}

func TestAnUploadIsAnInstanceWithItsNameLine(t *testing.T) {
	for _, text := range []string{
		"scrape_configs: [{job_name: a}]", "# c\nscrape_configs: [{job_name: a}]\nwal_truncate_frequency: 1h", "{slices: 2}", "name: app\nslices: 2",
		"slices: 2\nname: other", "name:\nslices: 2", "slices: x", "", "- a", "{}", "scrape_configs: [{job_name: a, scrape_classic_histograms: true}]",
	} {
		o := InstanceOptions{Origin: "app"}
		i, err := ParseInstance("app", text, o)
		line, at := "", 0
		if err == nil {
			line, at, err = NameLine("app", "app", text)
		}
		got, gotLine, gotAt, gotErr := ParseUpload("app", text, o)
		require.Equal(t, err, gotErr, text)
		if err == nil {
			require.Equal(t, i.Digest(), got.Digest(), text)
			require.Equal(t, line, gotLine, text)
			require.Equal(t, at, gotAt, text)
		}
	}
}

// An agent may get ten thousand uploads at once. What it parses them with is derived from Go types,
// of which there are always the same.
func TestAnUploadCostsLittle(t *testing.T) {
	const text = `scrape_configs:
  - job_name: app
    static_configs:
      - targets: ["app:9090"]
        labels: {team: a}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: go_.*, action: drop}
remote_write:
  - url: http://receiver/api/v1/write
    basic_auth: {username: a, password: b}
`
	allocations := testing.AllocsPerRun(20, func() {
		_, _, _, err := ParseUpload("app", text, InstanceOptions{})
		require.NoError(t, err)
	})
	require.Less(t, allocations, 1000.0)
}

func FuzzNameLine(f *testing.F) {
	f.Add("app", "scrape_configs: []\n")
	f.Add("app", "a: &x {b: c}\n<<: *x\n")
	f.Add("app", "a b:\n  c\n? d\n: e\n# f")
	f.Add("a b", "{a: b}")
	f.Add("x", "? a\n: b\n")
	f.Add("x", "&a\n!!map\na: b")
	f.Fuzz(func(t *testing.T, name, text string) {
		if ValidateName(name) != nil {
			return
		}
		line, at, err := NameLine("x", name, text)
		if err != nil || line == "" {
			return
		}
		require.True(t, saysName(name, text, text[:at]+line+text[at:]))
	})
}

package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestABrokenFileTellsEverythingAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/broken.yaml")
	require.NoError(t, err)
	_, err = LoadAgent("agent.yaml", text, LoadOptions{})
	var errs Errors
	require.ErrorAs(t, err, &errs)
	golden, readErr := os.ReadFile("testdata/broken.golden")
	require.NoError(t, readErr)
	require.Equal(t, string(golden), err.Error()+"\n")
	require.Greater(t, len(errs), 40)

	lines := strings.Split(string(text), "\n")
	for _, e := range errs {
		require.NotContains(t, e.Problem+e.Hint, "hun%ter2", "an error repeats a secret")
		key := e.Field[strings.LastIndex(e.Field, ".")+1:]
		if key, _, isItem := strings.Cut(key, "["); !isItem {
			require.Contains(t, lines[e.Line-1], key, "%s points at the wrong line", e.Field)
		}
	}
}

func TestAHostileUploadIsRefusedWithABoundedAnswer(t *testing.T) {
	const many = 10_000
	for what, text := range map[string]string{
		"empty entries": "scrape_configs:\n" + strings.Repeat("-\n", many),
		"bad targets":   "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets:\n" + strings.Repeat("    - http://a/\n", many),
		"bad rules":     "host_filter_relabel_configs:\n" + strings.Repeat("- {regex: '(', modulus: x, action: y}\n", many),
		"unknown keys":  "scrape_configs:\n" + strings.Repeat("- {job_nam: a}\n", many),
		"deep nesting":  strings.Repeat("[", many),
		"same job":      "scrape_configs:\n" + strings.Repeat("- {job_name: a}\n", many),
	} {
		errs := problems(t, text, InstanceOptions{})
		require.LessOrEqual(t, len(errs), maxErrors+1, what)
	}
}

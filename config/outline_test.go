package config

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestANodeThatDoesNotRunAConfigCompilesNoneOfIt(t *testing.T) {
	rule := "\n  - {regex: '" + strings.Repeat(".{1000}", 9) + "', target_label: x}"
	text := "scrape_configs:\n- job_name: a\n  relabel_configs:" + strings.Repeat(rule, 10) + "\nslices: 3\n"
	kept := func(parse func(string, string, InstanceOptions) (*Instance, error)) (*Instance, uint64, uint64) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		i, err := parse("app", text, limited(nil))
		require.NoError(t, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		return i, after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc), after.TotalAlloc - before.TotalAlloc
	}
	whole, wholeKept, wholeUsed := kept(ParseInstance)
	outline, outlineKept, outlineUsed := kept(OutlineInstance)
	t.Logf("the whole config keeps %d bytes of %d, its outline %d of %d", wholeKept, wholeUsed, outlineKept, outlineUsed)
	require.Greater(t, wholeKept, uint64(2<<20), "this config is large")
	require.Less(t, outlineKept, uint64(256<<10))
	require.Less(t, outlineUsed, wholeUsed/4)
	require.Equal(t, whole.Digest(), outline.Digest())
	require.Equal(t, 3, outline.Slices)
	require.Empty(t, outline.ScrapeConfigs)
	runtime.KeepAlive(whole)
}

func TestAnOutlineIsRefusedForTheSameReasons(t *testing.T) {
	for _, text := range []string{
		"scrape_configs: [{job_name: a, relabel_configs: [{regex: '(', target_label: x}]}]",
		"scrape_configs: [{job_name: a, relabel_configs: [{action: keepequal, source_labels: [a], target_label: b, regex: '(.*)'}]}]",
		"remote_write: [{url: 'http://h/', write_relabel_configs: [{regex: 'a'}]}, {url: 'http://h/', write_relabel_configs: [{regex: 'b'}]}]",
		"remote_write: [{url: 'http://h/'}, {url: 'http://h/'}]",
		"scrape_configs: [{job_name: a, relabel_configs: [{regex: , target_label: x}, {regex: 5, target_label: y}]}]",
		"slices: 1000",
		"a: [",
	} {
		i, err := ParseInstance("app", text, limited(nil))
		outline, refused := OutlineInstance("app", text, limited(nil))
		require.Equal(t, err, refused, text)
		if err == nil {
			require.Equal(t, i.Digest(), outline.Digest(), text)
		}
	}
}

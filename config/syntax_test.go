package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keys are n lines, each with a key of its own.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestAFaultOfTheSyntaxNamesItsLine(t *testing.T) {
	list := "scrape_configs:\n" + strings.Repeat("- job_name: a\n", 200)
	for _, c := range []struct {
		name, text string
		line       int
		problem    string
	}{
		{"a list that ends in a block of keys", list + strings.Repeat("- job_name: b\n", 199) + " x: 1\n", 401, "did not find expected key"},
		{"a list in a block of keys", keys(400) + "- a\n", 401, "did not find expected key"},
		{"a key too far left in a block that begins in the first line", "m:\n  n:\n    a: 1\n    b: 2\n   c: 3\nd: 1\n", 5, "did not find expected key"},
		{"the same far below the block's begin", keys(9) + "m:\n  n:\n" + strings.Repeat("    - a: 1\n", 50) + "   c: 3\nd: 1\n", 62, "did not find expected key"},
		{"two anchors", keys(2) + "x: &a &b c\n", 3, "did not find expected key"},
		{"brackets that are not closed", keys(599) + "x: {a: 1\n" + keys(3), 600, "did not find expected ',' or '}' up to line 601"},
		{"the same in the first line", "x: {a: 1\n" + keys(3), 1, "did not find expected ',' or '}' up to line 2"},
		{"brackets closed by others", keys(4) + "x: {a: 1, b: [1, 2}\n" + keys(3), 5, "did not find expected ',' or ']'"},
		{"brackets that lack a comma", keys(4) + "x: [a,\n b,\n c d: e f: g\n]\n" + keys(3), 5, "did not find expected ',' or ']' up to line 7"},
		{"brackets at the end of the text", keys(2) + "bad: [", 3, "did not find expected node content up to the end of the text"},
		{"the same before empty lines and comments", keys(2) + "bad: [\n\n# c\n", 3, "did not find expected node content up to the end of the text"},
		{"brackets before more keys", keys(2) + "bad: [\n" + keys(3), 3, "did not find expected ',' or ']' up to line 5"},
		{"brackets with keys to the end", keys(2) + "bad: [\na", 3, "did not find expected ',' or ']' up to the end of the text"},
		{"a closing bracket alone", keys(2) + "x: ]\n", 3, "did not find expected node content"},
		{"an alias without an anchor", keys(301) + "x: *gone\n" + keys(9), 302, "unknown anchor 'gone' referenced"},
		{"the same in a block", keys(301) + "x:\n  - y: '*gone'\n    z: *gone\n", 304, "unknown anchor 'gone' referenced"},
		{"quotes that are not closed", keys(2) + "bad: 'open\n" + keys(3), 3, "found unexpected end of stream up to the end of the text"},
		{"the same in the first line", "bad: 'open\n" + keys(3), 1, "found unexpected end of stream up to the end of the text"},
		{"an escape that there is not", keys(2) + "bad: \"a\n \\q\"\n", 4, "found unknown escape character"},
		{"a line without a colon", keys(4) + "bad\nx: 1\n", 5, "could not find expected ':'"},
		{"words that go on in the next line", "bad\nx: 1\n", 2, "mapping values are not allowed in this context"},
		{"a key too far right", keys(4) + " bad: 1\nx: 1\n", 5, "mapping values are not allowed in this context"},
		{"a tab", keys(2) + "\tx: 1\n", 3, "found a tab character that violates indentation"},
		{"a tag without a handle", keys(2) + "x: !a!b c\n", 3, "found undefined tag handle"},
		{"a version of YAML", "# c\n%YAML 3.0\n---\na: 1\n", 2, "found incompatible YAML document"},
		{"a second document", keys(2) + "---\n" + keys(2), 3, "a second document begins here; only one is allowed"},
		{"a fault in a second document", keys(2) + "---\nb: 1\nc\nd: 1\n", 5, "could not find expected ':'"},
		{"a character that is none", keys(2) + "x: \u0081\n", 3, "control character U+0081"},
		{"another", keys(2) + "x: \uffff\n", 3, "control character U+FFFF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseInstance("t1", c.text, InstanceOptions{})
			require.ErrorContains(t, err, fmt.Sprintf(`config "t1":%d: %s; `, c.line, c.problem))
			_, err = LoadAgent("a.yaml", []byte(c.text), LoadOptions{ExpandEnv: true})
			require.ErrorContains(t, err, fmt.Sprintf("a.yaml:%d: %s; ", c.line, c.problem))
		})
	}
}

package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidateName(t *testing.T) {
	for _, name := range []string{"a", "team/app", "...", "a..b", "ü+%", "数据", "שלום", strings.Repeat("a", 253), "a//b", "/", `\`} {
		require.NoError(t, ValidateName(name), name)
	}
	for _, name := range []string{"", ".", "..", "a/../b", "../a", "a/.", "a\x00", "a\n", "\u0085", "prod\u202egnillib", "prod\u200b", "\u2066a", "a\ufeff", "a\u00ad", "\u3164", "a\u2028", "a\ufe0f", "\U000e0061", "\xff", strings.Repeat("a", 254)} {
		require.Error(t, ValidateName(name), name)
	}
}

func TestDirectoryName(t *testing.T) {
	for name, want := range map[string]string{
		"app-1":   "app-1",
		"team/a":  "team%2fa",
		"A":       "%41",
		".":       "%2e",
		"..":      "%2e%2e",
		"a.b.":    "a.b%2e",
		"100%":    "100%25",
		"a~b":     "a%7eb",
		"":        "~",
		`a\b:c`:   "a%5cb%3ac",
		"ü":       "%c3%bc",
		".hidden": "%2ehidden",
	} {
		require.Equal(t, want, DirectoryName(name))
	}
}

func FuzzDirectoryName(f *testing.F) {
	f.Add("a", "A")
	f.Add(strings.Repeat("x", 253), strings.Repeat("x", 252)+"y")
	f.Add("a/b", "a%2fb")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := DirectoryName(a), DirectoryName(b)
		if name, ok := NameOfDirectory(x); ok {
			require.Equal(t, a, name)
		} else {
			require.Contains(t, x, "~")
		}
		require.LessOrEqual(t, len(x), 255)
		require.NotContains(t, x, "/")
		require.NotContains(t, []string{"", ".", ".."}, x)
		if a != b {
			require.NotEqual(t, strings.ToLower(x), strings.ToLower(y))
		}
	})
}

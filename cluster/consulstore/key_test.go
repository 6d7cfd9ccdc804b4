package consulstore

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestKeysOfUTF8AreKeptAsTheyAre(t *testing.T) {
	for _, key := range []string{"configurations/a b", "ключ", "claims/a\x1f1/2\x1f0/1", "100%", "/", "a//b", "�"} {
		require.Equal(t, key, encodeKey(key))
	}
	require.Equal(t, "a\x1affb\x1a1a", encodeKey("a\xffb\x1a"))
}

func TestKeysThatNoStoreWroteAreNotTakenForOthers(t *testing.T) {
	for _, stored := range []string{"\x1a", "a\x1af", "\x1azz", "\x1aFF", "\x1a41", "\x1ac3\x1aa9", "\xff"} {
		_, ok := decodeKey(stored)
		require.False(t, ok, "%q", stored)
	}
}

func TestPrefixesInURLsAreHarmless(t *testing.T) {
	for prefix, want := range map[string]string{
		"":                     "",
		"configurations/":      "configurations/",
		"team-a_b,c/v1.2/":     "team-a_b,c/v1.2/",
		"team-a_b,c/v12":       "team-a_b,c/v12",
		"a/page.html":          "a/",
		"a/page.html/":         "a/page.html/",
		"a b/c":                "a",
		"a/ключ/":              "a/",
		"a/\xff":               "a/",
		"100%/":                "100",
		"/a":                   "",
		"a//b":                 "a/",
		"a/../b":               "a/",
		"a/x..y/":              "a/",
		"a/./b":                "a/",
		"collectors/claims/a?": "collectors/claims/a",
	} {
		require.Equal(t, want, urlPrefix(prefix), "%q", prefix)
	}
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"configurations/a", "\xff\xfe", "\x1a", "\x1aff", "ключ/\xd0", "a/../b.html"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stored := encodeKey(text)
		require.True(t, utf8.ValidString(stored))
		back, ok := decodeKey(stored)
		require.True(t, ok)
		require.Equal(t, text, back)
		if key, ok := decodeKey(text); ok {
			require.Equal(t, text, encodeKey(key), "what is read can be written again under the same name")
		}
		prefix := urlPrefix(text)
		require.True(t, strings.HasPrefix(stored, prefix), "whatever has the prefix is listed")
		require.Equal(t, prefix, urlPrefix(prefix))
	})
}

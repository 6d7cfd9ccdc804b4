package cluster

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func compress(t testing.TB, text string) []byte {
	t.Helper()
	value, err := encodeConfig(gzip.NewWriter(nil), Document{Text: text}, time.Time{})
	require.NoError(t, err)
	return value
}

func TestTextSurvivesTheStoreByteForByte(t *testing.T) {
	for _, text := range []string{"", "name: a\n", "# комментарий\r\n\tname: ' a '", strings.Repeat("x", maxConfigText)} {
		got, _, err := new(configDecoder).decode(compress(t, text))
		require.NoError(t, err)
		require.Equal(t, text, got)
	}
}

func TestAValueTellsWhenItWasWritten(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(1_800_000_000, 0).UTC(), time.Unix(1<<32-1, 0).UTC()} {
		value, err := encodeConfig(gzip.NewWriter(nil), Document{Text: "name: a"}, at)
		require.NoError(t, err)
		text, written, err := new(configDecoder).decode(value)
		require.NoError(t, err)
		require.Equal(t, "name: a", text)
		require.Equal(t, at, written)
	}
}

func TestGzipOfOtherWritersIsUnderstood(t *testing.T) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	require.NoError(t, err)
	w.Name, w.Comment = "a.yml", "by hand"
	_, err = w.Write([]byte("name: a"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got, _, err := new(configDecoder).decode(buf.Bytes())
	require.NoError(t, err)
	require.Equal(t, "name: a", got)
}

func TestTextThatIsTooLongIsRefused(t *testing.T) {
	_, err := encodeConfig(gzip.NewWriter(nil), Document{Text: strings.Repeat("x", maxConfigText+1)}, time.Time{})
	require.ErrorContains(t, err, "limit")
}

func TestUndecodableValuesSayWhy(t *testing.T) {
	whole := compress(t, "name: a\nscrape_configs: []\n")
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 17 {
		_, err := w.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())

	var decoder configDecoder // one for all: it must not remember
	for _, test := range []struct {
		name  string
		value []byte
		want  string
	}{
		{"nothing", nil, "empty"},
		{"YAML as it is", []byte("name: a\n"), `not gzip (it begins with "name: a\n")`},
		{"garbage", []byte("\x00\xff\x00"), "gzip"},
		{"half a header", whole[:5], "gzip header"},
		{"half a body", whole[:len(whole)/2], "damaged after"},
		{"a wrong checksum", flipped, "checksum"},
		{"something behind the end", append(bytes.Clone(whole), "tail"...), "damaged"},
		{"a bomb", bomb.Bytes(), "expands to more than"},
		{"text that is not UTF-8", compress(t, "name: \xff"), "UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, written, err := decoder.decode(test.value)
			require.ErrorContains(t, err, test.want)
			require.Empty(t, text)
			require.Zero(t, written)
			text, _, err = decoder.decode(whole)
			require.NoError(t, err)
			require.Equal(t, "name: a\nscrape_configs: []\n", text)
		})
	}
}

func FuzzDecodeConfig(f *testing.F) {
	whole := compress(f, "name: a\nscrape_configs: []\n")
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("name: a"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		text, _, err := new(configDecoder).decode(value)
		if err != nil {
			require.Empty(t, text)
			return
		}
		require.LessOrEqual(t, len(text), maxConfigText)
		again, _, err := new(configDecoder).decode(compress(t, text))
		require.NoError(t, err)
		require.Equal(t, text, again)
	})
}

package series_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

func TestLabelsAreEncodedAsRemoteWriteDoes(t *testing.T) {
	for _, ls := range []labels.Labels{
		labels.FromStrings("__name__", "up"),
		labels.FromStrings("__name__", "up", "instance", "a:9100", "job", "node"),
		labels.FromStrings("a", strings.Repeat("x", 127), "b", strings.Repeat("y", 128), "ü", "\x00\xff"),
		labels.FromStrings("a", strings.Repeat("x", 70_000), strings.Repeat("n", 300), "1"),
		labels.FromStrings("a", "1", "b", "", "c", "2"), // the empty one is not there
	} {
		enc, err := series.Encode([]byte("before"), ls)
		require.NoError(t, err)
		enc = bytes.TrimPrefix(enc, []byte("before"))
		require.NoError(t, series.Check(enc))
		var message prompb.TimeSeries
		ls = ls.WithoutEmpty()
		ls.Range(func(l labels.Label) {
			message.Labels = append(message.Labels, prompb.Label{Name: l.Name, Value: l.Value})
		})
		want, err := message.Marshal()
		require.NoError(t, err)
		require.Equal(t, want, enc)
		var b labels.ScratchBuilder
		require.True(t, labels.Equal(ls, series.Decode(enc, &b)))
		require.True(t, series.Equal(enc, ls))
		require.False(t, series.Equal(enc, labels.FromStrings("other", "1")))
		ls.Range(func(l labels.Label) {
			require.Equal(t, l.Value, string(series.Value(enc, l.Name)))
		})
		require.Empty(t, series.Value(enc, "absent"))
	}
}

func TestLabelsThatNoSeriesCanHaveAreRefused(t *testing.T) {
	var twice labels.ScratchBuilder
	twice.Add("a", "1")
	twice.Add("a", "2")
	b := series.New()
	for _, ls := range []labels.Labels{
		labels.EmptyLabels(), labels.FromStrings("a", ""), labels.FromStrings("", "x"), twice.Labels(),
	} {
		enc, err := series.Encode([]byte("before"), ls)
		require.ErrorIs(t, err, series.ErrInvalid, "%s", ls)
		require.Equal(t, "before", string(enc))
		_, err = b.Acquire(ls)
		require.ErrorIs(t, err, series.ErrInvalid)
	}
}

// FuzzCheck: what Check accepts is what Encode makes of some labels, to the byte.
func FuzzCheck(f *testing.F) {
	enc, err := series.Encode(nil, labels.FromStrings("__name__", "up", "job", "node"))
	require.NoError(f, err)
	f.Add(enc)
	f.Add([]byte("\x0a\x07\x0a\x01a\x12\x82\x00x"))
	f.Fuzz(func(t *testing.T, enc []byte) {
		if series.Check(enc) != nil {
			return
		}
		var b labels.ScratchBuilder
		again, err := series.Encode(nil, series.Decode(enc, &b))
		require.NoError(t, err)
		require.Equal(t, again, enc)
	})
}

package wal_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// content is every name in a directory with what is in the file.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	}))
	return files
}

func viewed(t *testing.T, v *wal.View) (got []waltest.Sample) {
	t.Helper()
	r := v.NewReader(v.Begin())
	defer r.Close()
	samples := waltest.NewRecorder(v)
	for {
		_, err := r.Next(samples)
		if err == io.EOF { //nolint:errorlint // the contract of Next
			return samples.Samples
		}
		require.NoError(t, err)
	}
}

func TestALogCanBeLookedAtWhileItIsWrittenAndStaysAsItIs(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{SegmentBytes: 1})
	holdBack(t, l)
	want := commitFloats(t, l, 3, 1000)
	want = append(want, commitFloats(t, l, 3, 2000)...)
	before := content(t, filepath.Dir(dir))

	v, err := wal.Inspect(dir)
	require.NoError(t, err)
	defer v.Close()
	require.Equal(t, want, viewed(t, v))
	require.Equal(t, before, content(t, filepath.Dir(dir)))
	require.Len(t, v.Cursors(), 1)
	bytes, segments := v.Size()
	require.Equal(t, 2, segments)
	require.Positive(t, bytes)

	more := commitFloats(t, l, 1, 3000)
	require.Equal(t, want, viewed(t, v), "a view is of its moment")
	again, err := wal.Inspect(dir)
	require.NoError(t, err)
	defer again.Close()
	require.Equal(t, append(want, more...), viewed(t, again))
}

func TestADirectoryWithoutALogIsNotMadeOne(t *testing.T) {
	dir := t.TempDir()
	for _, place := range []string{dir, filepath.Join(dir, "nowhere")} {
		_, err := wal.Inspect(place)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	require.Empty(t, content(t, dir))
}

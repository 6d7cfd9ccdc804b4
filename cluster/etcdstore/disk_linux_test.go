package etcdstore

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestAServerSurvivesADiskThatIsReallyFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=300m"); err != nil {
		t.Skipf("can't mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, 0)) })
	s := startEmbedded(t, EmbeddedConfig{Dir: filepath.Join(disk, "etcd")})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	for _, key := range []string{"a", "b", "c"} {
		_, err = s.Put(t.Context(), cluster.PutRequest{Key: key, Value: make([]byte, 100<<10), Session: sess})
		require.NoError(t, err)
	}

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "d"})
	require.ErrorContains(t, err, "the disk is full")
	_, err = s.Delete(t.Context(), "a", cluster.Condition{})
	require.NoError(t, err)
	require.NoError(t, sess.Close(t.Context()))
	s.server.etcd.Server.Backend().ForceCommit()

	require.NoError(t, os.Remove(filler))
	put(t, s, "d")
	s.server.etcd.Server.Backend().ForceCommit()
	_, err = s.Get(t.Context(), "b")
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for chunk := bytes.Repeat([]byte("x"), size); err == nil; {
			_, err = f.Write(chunk)
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		err = nil
	}
}

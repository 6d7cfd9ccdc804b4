package lastknown

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t *testing.T, file string) *Memory {
	t.Helper()
	m, err := Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestWhatWasKnownIsThereAfterARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "last-known.db")
	m := opened(t, file)
	documents, cluster, err := m.Load()
	require.NoError(t, err)
	require.Empty(t, documents)
	require.Zero(t, cluster)

	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	known := Cluster{
		Session: "7f", Incarnation: "first", Revision: 12, Renewed: since,
		Members: []messages.Member{{
			Node: "a", Address: "a:80", Scheme: "http", Gossip: "a:7946", Zone: "z", State: messages.Active, Tokens: messages.NewList[uint32](1, 1<<31),
			Settings: "s", Version: "v", Since: since, Session: "7f", Revision: 3,
		}},
		Claims: []messages.Claim{{Unit: messages.Unit{Config: "one", Slice: 2}, Node: "a", Incarnation: "first", Session: "7f", Revision: 4, Since: since}},
	}
	require.NoError(t, m.Save(Change{
		Written: []messages.Document{{Name: "one", Revision: 1, Text: "text 1"}, {Name: "two/x", Revision: 2, Text: "text 2"}, {Name: "three", Revision: 5, Text: ""}},
		Cluster: &known,
	}))
	require.NoError(t, m.Save(Change{Written: []messages.Document{{Name: "one", Revision: 9, Text: "text 9"}}, Gone: []string{"three", "never"}}))
	require.NoError(t, m.Close())

	documents, cluster, err = opened(t, file).Load()
	require.NoError(t, err)
	require.Equal(t, []messages.Document{{Name: "one", Revision: 9, Text: "text 9"}, {Name: "two/x", Revision: 2, Text: "text 2"}}, documents)
	require.Equal(t, known, cluster)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "configs hold secrets")
}

func TestADamagedFileIsMovedAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"no bbolt at all": func([]byte) []byte { return []byte("not a database, and long enough to have a header of its own") },
		"cut short":       func(b []byte) []byte { return b[:len(b)/3] },
		"overwritten": func(b []byte) []byte {
			for i := range b {
				b[i] = byte(i * 7)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "last-known.db")
			m := opened(t, file)
			require.NoError(t, m.Save(Change{Written: []messages.Document{{Name: "one", Revision: 1, Text: "text"}}}))
			require.NoError(t, m.Close())
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, damage(content), 0o600))

			m = opened(t, file)
			require.FileExists(t, m.Aside())
			documents, _, err := m.Load()
			require.NoError(t, err)
			require.Empty(t, documents)
			require.NoError(t, m.Save(Change{Written: []messages.Document{{Name: "one", Revision: 1, Text: "text"}}}))
		})
	}
}

func TestAFileInUseIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-known.db")
	opened(t, file)
	_, err := Open(file)
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, file)
}

func FuzzDecode(f *testing.F) {
	f.Add("one", encodeDocument(messages.Document{Revision: 1, Text: "x"}))
	f.Add("one", []byte(`{"session":"a","members":[{"node":"a","state":1,"tokens":[1]}],"claims":[{"unit":"a"}]}`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		if d, ok := decodeDocument(name, value); ok {
			require.Equal(t, value, encodeDocument(d))
		}
		for _, m := range decodeCluster(value).Members {
			require.NotEmpty(t, m.Node)
		}
	})
}

package cluster_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "configurations/"

func newConfigs(t *testing.T) (*cluster.Configs, *memstore.Client) {
	store := memstore.New()
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return cluster.NewConfigs(store, prefix), store
}

func putRaw(t *testing.T, s cluster.Store, key, value string) int64 {
	t.Helper()
	res, err := s.Put(t.Context(), cluster.PutRequest{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return res.Revision
}

func putConfig(t *testing.T, c *cluster.Configs, name, text string) int64 {
	t.Helper()
	res, err := c.Put(t.Context(), name, text, cluster.Condition{})
	require.NoError(t, err)
	return res.Revision
}

func TestAConfigComesBackAsItWasWritten(t *testing.T) {
	configs, store := newConfigs(t)
	rev := putConfig(t, configs, "team/a b", "name: x # kept\n")
	got, err := configs.Get(t.Context(), "team/a b")
	require.NoError(t, err)
	require.Equal(t, cluster.StoredConfig{Name: "team/a b", Text: "name: x # kept\n", Revision: rev, Written: got.Written}, got)
	_, err = store.Get(t.Context(), "configurations/team/a b")
	require.NoError(t, err, "prefix and name are concatenated")
}

func TestAConfigTellsWhenItWasWrittenAndChanged(t *testing.T) {
	configs, store := newConfigs(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, stop := iter.Pull(configs.Watch(ctx, 0))
	defer stop()
	start := time.Now().Truncate(time.Second)
	told := func() (written, changed time.Time) {
		t.Helper()
		got, err := configs.Get(t.Context(), "a")
		require.NoError(t, err)
		event, _ := next()
		require.Equal(t, got, event.Config)
		return got.Written, got.Changed
	}
	putConfig(t, configs, "a", "1")
	written, changed := told()
	require.False(t, written.Before(start) || written.After(time.Now()))
	require.Zero(t, changed, "it is new")
	putConfig(t, configs, "a", "2")
	written, changed = told()
	require.False(t, written.Before(start) || written.After(time.Now()))
	require.Equal(t, written, changed)

	var value bytes.Buffer
	w := gzip.NewWriter(&value)
	_, err := w.Write([]byte("3"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	putRaw(t, store, prefix+"a", value.String())
	written, changed = told()
	require.Zero(t, written, "it was written by something that does not tell")
	require.Zero(t, changed)
	require.NoError(t, configs.Delete(t.Context(), "a", cluster.Condition{}))
	_, _ = next()
	putConfig(t, configs, "a", "4")
	_, changed = told()
	require.Zero(t, changed, "it is new again")
}

func TestAConfigThatIsNotThereIsNotFound(t *testing.T) {
	configs, _ := newConfigs(t)
	_, err := configs.Get(t.Context(), "a")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorIs(t, configs.Delete(t.Context(), "a", cluster.Condition{}), cluster.ErrNotFound)
}

func TestConditionsReachTheStore(t *testing.T) {
	configs, _ := newConfigs(t)
	res, err := configs.Put(t.Context(), "a", "1", cluster.Condition{Absent: true})
	require.NoError(t, err)
	require.True(t, res.Created)
	_, err = configs.Put(t.Context(), "a", "2", cluster.Condition{Absent: true})
	require.ErrorIs(t, err, cluster.ErrConflict)
	require.ErrorIs(t, configs.Delete(t.Context(), "a", cluster.Condition{Revision: res.Revision + 1}), cluster.ErrConflict)
	require.NoError(t, configs.Delete(t.Context(), "a", cluster.Condition{Revision: res.Revision}))
}

func TestAConfigNeedsAName(t *testing.T) {
	configs, store := newConfigs(t)
	_, err := configs.Put(t.Context(), "", "x", cluster.Condition{})
	require.Error(t, err)
	putRaw(t, store, prefix, "a key that is the prefix")
	list, _, err := configs.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestAValueThatIsGarbageDoesNotHurtItsNeighbours(t *testing.T) {
	configs, store := newConfigs(t)
	putConfig(t, configs, "a", "text of a")
	putRaw(t, store, prefix+"b", "\x00 garbage")
	putRaw(t, store, "elsewhere/d", "not ours")
	last := putConfig(t, configs, "c", "text of c")

	list, at, err := configs.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, at.Revision)
	require.Len(t, list, 3)
	require.Equal(t, []string{"text of a", "", "text of c"}, []string{list[0].Text, list[1].Text, list[2].Text})
	require.NoError(t, list[0].Err)
	require.NoError(t, list[2].Err)
	require.Equal(t, "b", list[1].Name)
	require.ErrorContains(t, list[1].Err, `decode stored config "b": the value is not gzip`)

	b, err := configs.Get(t.Context(), "b")
	require.NoError(t, err)
	require.Error(t, b.Err)
	require.NoError(t, configs.Delete(t.Context(), "b", cluster.Condition{}), "garbage can be deleted")
}

func TestAFailedReadIsAnErrorNotAnEmptyList(t *testing.T) {
	configs, store := newConfigs(t)
	putConfig(t, configs, "a", "x")
	boom := errors.New("boom")
	store.FailNext(memstore.OpList, boom)
	_, _, err := configs.List(t.Context())
	require.ErrorIs(t, err, boom)
}

func TestChangesAreTranslated(t *testing.T) {
	configs, store := newConfigs(t)
	next, stop := iter.Pull(configs.Watch(t.Context(), 1))
	defer stop()
	event := func() cluster.ConfigEvent {
		e, ok := next()
		require.True(t, ok)
		return e
	}
	rev := putConfig(t, configs, "a", "text")
	put := event()
	require.Equal(t, cluster.ConfigEvent{
		Kind: cluster.EventPut, Config: cluster.StoredConfig{Name: "a", Text: "text", Revision: rev, Written: put.Config.Written},
	}, put)

	putRaw(t, store, prefix, "nobody's config")
	putRaw(t, store, prefix+"b", "garbage")
	bad := event()
	require.Equal(t, "b", bad.Config.Name)
	require.Error(t, bad.Config.Err)

	require.NoError(t, configs.Delete(t.Context(), "a", cluster.Condition{}))
	require.Equal(t, cluster.ConfigEvent{
		Kind: cluster.EventDelete, Config: cluster.StoredConfig{Name: "a", Revision: store.Server().Revision()},
	}, event())

	store.Server().Reset(1)
	require.Equal(t, cluster.ConfigEvent{Kind: cluster.EventRelist, Config: cluster.StoredConfig{Revision: 1}}, event())
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	configs, _ := newConfigs(t)
	ctx, cancel := context.WithCancel(t.Context())
	next, stop := iter.Pull(configs.Watch(ctx, 1))
	defer stop()
	putConfig(t, configs, "a", "text")
	_, ok := next()
	require.True(t, ok)
	cancel()
	for ok {
		_, ok = next()
	}
}

func TestAWatchEndsWithTheStore(t *testing.T) {
	configs, store := newConfigs(t)
	require.NoError(t, store.Close())
	for range configs.Watch(t.Context(), 1) {
		require.Fail(t, "nothing can come of a closed store")
	}
}

func TestWhatWasInsertedIsInTheStoreAndNotInTheText(t *testing.T) {
	configs, store := newConfigs(t)
	const text, line = "# mine\nscrape_configs: []\n", "name: a\n"
	for _, at := range []int{0, len("# mine\n"), len(text)} {
		_, err := configs.PutDocument(t.Context(), "a", cluster.Document{Text: text, Insert: line, At: at}, cluster.Condition{})
		require.NoError(t, err)
		got, err := configs.Get(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, got.Err)
		require.Equal(t, text, got.Text)

		entry, err := store.Get(t.Context(), prefix+"a")
		require.NoError(t, err)
		r, err := gzip.NewReader(bytes.NewReader(entry.Value))
		require.NoError(t, err)
		stored, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, text[:at]+line+text[at:], string(stored), "what any other reader of gzip finds")
	}
	_, err := configs.PutDocument(t.Context(), "a", cluster.Document{Text: text, Insert: line, At: len(text) + 1}, cluster.Condition{})
	require.ErrorContains(t, err, "is not in a text of")
}

func TestAHeaderThatSpeaksOfOtherBytesIsAnErrorOfThatConfig(t *testing.T) {
	configs, store := newConfigs(t)
	for extra, want := range map[string]string{
		"RM\x08\x00\x01\x00\x00\x00\xff\x00\x00\x00": "bytes 1 to 256 were inserted, and the text has 4",
		"RM\x08\x00\x01": "cut off",
		"XY\x00\x00":     "",
	} {
		var value bytes.Buffer
		w := gzip.NewWriter(&value)
		w.Extra = []byte(extra)
		_, err := w.Write([]byte("text"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		putRaw(t, store, prefix+"a", value.String())
		got, err := configs.Get(t.Context(), "a")
		require.NoError(t, err)
		if want == "" {
			require.NoError(t, got.Err)
			require.Equal(t, "text", got.Text)
			continue
		}
		require.ErrorContains(t, got.Err, want)
	}
}

package consulstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
	"github.com/ringmaster-agent/ringmaster/cluster/storetest"
)

// patience is how long a test waits for what must happen. Only a failing test waits that long.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cluster.Store { return open(t) })
}

// store is a Store with what the conformance suite can't do through cluster.Store.
type store struct {
	*Store
	server *consultest.Server
}

func (s store) Share(t *testing.T) cluster.Store { return dial(t, s.server, Config{}) }
func (s store) Rewind(t *testing.T)              { require.NoError(t, s.server.Wipe()) }
func (s store) ForgetsDeletions()                {}
func (s store) ValueLimit() int                  { return MaxValue }
func (s store) BatchStep() int                   { return maxOps / 2 }

// open returns a store on a new server, whose sessions may be as short as a second.
func open(t *testing.T) store {
	t.Helper()
	server := serve(t, consultest.Options{MinTTL: time.Second})
	return store{Store: dial(t, server, Config{}), server: server}
}

func serve(t *testing.T, o consultest.Options) *consultest.Server {
	t.Helper()
	server, err := consultest.Start(o)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

// dial returns a store that is not slowed down.
func dial(t *testing.T, server *consultest.Server, conf Config) *Store {
	t.Helper()
	conf.Host = server.Address()
	return dialAt(t, conf)
}

func dialAt(t *testing.T, conf Config) *Store {
	t.Helper()
	conf.minTTL = time.Second
	if conf.CASRetryDelay == 0 {
		conf.CASRetryDelay = 5 * time.Millisecond
	}
	if conf.Logger == nil {
		conf.Logger = zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	}
	s, err := Dial(conf)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func put(t *testing.T, s cluster.Store, key, value string) int64 {
	t.Helper()
	res, err := s.Put(t.Context(), cluster.PutRequest{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return res.Revision
}

func remove(t *testing.T, s cluster.Store, key string) int64 {
	t.Helper()
	rev, err := s.Delete(t.Context(), key, cluster.Condition{})
	require.NoError(t, err)
	return rev
}

// revisionOf lists a prefix and returns the listing's revision.
func revisionOf(t *testing.T, s cluster.Store, prefix string) int64 {
	t.Helper()
	l, err := s.List(t.Context(), prefix)
	require.NoError(t, err)
	return l.Revision
}

func next(t *testing.T, events <-chan cluster.Event) cluster.Event {
	t.Helper()
	select {
	case ev, ok := <-events:
		require.True(t, ok, "the watch has ended")
		return ev
	case <-time.After(patience):
		t.Fatal("no event came")
		panic("not reached")
	}
}

func deleted(key string, revision int64) cluster.Event {
	return cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: key, Revision: revision}}
}

func relist(revision int64) cluster.Event {
	return cluster.Event{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: revision}}
}

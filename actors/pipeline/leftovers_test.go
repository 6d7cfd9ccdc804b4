package pipeline

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestWhatAUnitLeftBehindWhenItMovedIsFoundAndSent(t *testing.T) {
	w := newWorld(t)
	unit, elsewhere := messages.Unit{Config: "one", Replica: 1}, messages.WholeConfig("elsewhere")
	require.Empty(t, w.factory.Leftovers([]messages.Unit{unit}, nil), "there is not even a directory")
	n := &node{t: t, factory: w.factory}
	n.permit.Store(true)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := n.open(unit, w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.End().Seq > 20 }, "scrapes")
	_, err := p.StopScraping(t.Context(), messages.Moved)
	require.NoError(t, err)
	committed := p.log.End().Seq
	require.Empty(t, w.factory.Leftovers([]messages.Unit{unit}, nil), "it is open")
	require.NoError(t, p.Close(true))
	require.DirExists(t, w.factory.directory(unit.Key()))

	require.Equal(t, []messages.Unit{unit}, w.factory.Leftovers([]messages.Unit{elsewhere, unit}, nil))
	require.Equal(t, []messages.Unit{unit}, w.factory.Leftovers([]messages.Unit{unit}, nil), "until it was sent")
	w.receiver.status.Store(0)
	p = n.open(unit, w.instance(""))
	pending, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.Zero(t, pending)
	require.NoError(t, p.Close(true))
	require.Equal(t, int64(committed), w.receiver.samples.Load())
	require.NoDirExists(t, w.factory.directory(unit.Key()))
	require.Empty(t, w.factory.Leftovers([]messages.Unit{elsewhere, unit}, nil))
}

func TestALogInWhichEverythingWasSentIsNotLeftBehind(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return w.receiver.samples.Load() > 20 }, "samples arrive")
	_, err := p.StopScraping(t.Context(), messages.Moved)
	require.NoError(t, err)
	_, err = p.Drain(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Close(false))
	require.DirExists(t, w.factory.directory("one"))

	foreign := filepath.Join(w.factory.options.WALDirectory, "foreign")
	require.NoError(t, os.Mkdir(foreign, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "precious"), []byte("x"), 0o600))
	require.Empty(t, w.factory.Leftovers([]messages.Unit{messages.WholeConfig("foreign"), messages.WholeConfig("one")}, nil))
	require.NoDirExists(t, w.factory.directory("one"))
	require.FileExists(t, filepath.Join(foreign, "precious"), "what is no log is not ours")
}

func TestALogThatIsLookedAtCanBeOpenedAllTheSame(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := w.open(w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.End().Seq > 20 }, "scrapes")
	require.NoError(t, p.Close(false))
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for range 50 {
			w.factory.Leftovers([]messages.Unit{messages.WholeConfig("one")}, nil)
		}
	}()
	for range 50 {
		opened, err := w.factory.New(t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig("one"), Config: w.instance(""), Failed: func(error) {}})
		require.NoError(t, err)
		require.NoError(t, opened.Close(false))
	}
	<-looked
}

func TestWhatSlicesOfBeforeHaveLeftBehindIsFoundByTheirDirectories(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	surplus := messages.Unit{Config: "One.and-only", Slice: 2, Replica: 1}
	n := &node{t: t, factory: w.factory}
	n.permit.Store(true)
	for _, unit := range []messages.Unit{surplus, {Config: "One.and-only", Slice: 1}, {Config: "gone", Slice: 7}} {
		p := n.open(unit, w.instance(""))
		put(t, p, 0, 20)
		require.NoError(t, p.Close(false))
	}
	require.Empty(t, w.factory.Leftovers(nil, nil))
	require.Empty(t, w.factory.Leftovers(nil, map[string]int{"One.and-only": 3}))
	require.Equal(t, []messages.Unit{surplus}, w.factory.Leftovers(nil, map[string]int{"One.and-only": 2}))
	require.Equal(t, []messages.Unit{surplus}, w.factory.Leftovers([]messages.Unit{surplus}, map[string]int{"One.and-only": 2}))
}

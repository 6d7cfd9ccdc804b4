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
	require.Empty(t, w.factory.Leftovers([]messages.Unit{unit}), "there is not even a directory")
	n := &node{t: t, factory: w.factory}
	n.permit.Store(true)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := n.open(unit, w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.End().Seq > 20 }, "scrapes")
	_, err := p.StopScraping(t.Context(), messages.Moved)
	require.NoError(t, err)
	committed := p.log.End().Seq
	require.Empty(t, w.factory.Leftovers([]messages.Unit{unit}), "it is open")
	require.NoError(t, p.Close(true))
	require.DirExists(t, w.factory.directory(unit.Key()))

	require.Equal(t, []messages.Unit{unit}, w.factory.Leftovers([]messages.Unit{elsewhere, unit}))
	require.Equal(t, []messages.Unit{unit}, w.factory.Leftovers([]messages.Unit{unit}), "until it was sent")
	w.receiver.status.Store(0)
	p = n.open(unit, w.instance(""))
	pending, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.Zero(t, pending)
	require.NoError(t, p.Close(true))
	require.Equal(t, int64(committed), w.receiver.samples.Load())
	require.NoDirExists(t, w.factory.directory(unit.Key()))
	require.Empty(t, w.factory.Leftovers([]messages.Unit{elsewhere, unit}))
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
	require.Empty(t, w.factory.Leftovers([]messages.Unit{messages.WholeConfig("foreign"), messages.WholeConfig("one")}))
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
			w.factory.Leftovers([]messages.Unit{messages.WholeConfig("one")})
		}
	}()
	for range 50 {
		opened, err := w.factory.New(t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig("one"), Config: w.instance(""), Failed: func(error) {}})
		require.NoError(t, err)
		require.NoError(t, opened.Close(false))
	}
	<-looked
}

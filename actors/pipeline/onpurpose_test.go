package pipeline

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAnInstanceCrashesOnItsThirdScrapeAndComesBack(t *testing.T) {
	w := newWorld(t)
	w.factory.options.Faults = faulttest.New(t, faulttest.Nth(3, fault.Scrape, fault.Panic))
	instance := w.instance("")
	system := actors.NewSystem(nil)
	pid := system.Root.Spawn(actors.Props(actors.Options{
		Local:       messages.NewList(messages.Document{Name: "one", Text: messages.Text(instance.Text)}),
		Parse:       func(messages.Document) (*config.Instance, error) { return instance, nil },
		NewPipeline: w.factory.New, RestartBackoff: 100 * time.Millisecond,
	}))
	client := actors.NewClient(system, pid)
	describe := func() messages.UnitDescription {
		u, err := client.DescribeUnit(t.Context(), messages.WholeConfig("one"))
		require.NoError(t, err)
		return u
	}
	w.eventually(func() bool { return describe().Restarts == 1 }, "the instance crashes once")
	require.Contains(t, describe().LastError, "injected")
	before := w.receiver.samples.Load()
	w.eventually(func() bool { return w.receiver.samples.Load() > before+50 }, "it scrapes again")
	require.Equal(t, 1, describe().Restarts)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, actors.Stop(ctx, system, pid))
	w.eventually(func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "NewThrottle")
	}, "protoactor's throttle of its log ends")
}

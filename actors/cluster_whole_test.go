package actors_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// parsedBy is which configs a node has parsed as a whole, and of which it has made an outline.
type parsedBy struct {
	mu              sync.Mutex
	whole, outlined map[string]int
}

func (p *parsedBy) count(o *actors.Options) {
	counted := func(counts map[string]int, parse func(string, string, config.InstanceOptions) (*config.Instance, error)) func(messages.Document) (*config.Instance, error) {
		return func(d messages.Document) (*config.Instance, error) {
			p.mu.Lock()
			counts[d.Name]++
			p.mu.Unlock()
			return parse(d.Name, string(d.Text), config.InstanceOptions{})
		}
	}
	p.whole, p.outlined = map[string]int{}, map[string]int{}
	o.Parse, o.Outline = counted(p.whole, config.ParseInstance), counted(p.outlined, config.OutlineInstance)
}

func TestANodeParsesAsAWholeOnlyWhatItRuns(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		const configs = 20
		parsed := map[string]*parsedBy{"a": {}, "b": {}}
		for name, p := range parsed {
			w.join(name, p.count)
		}
		w.put(configs)
		w.pass(time.Minute)
		require.Len(t, w.count(configs), 2, "both run some")
		check := func() {
			t.Helper()
			for config, runner := range w.runners() {
				for node, p := range parsed {
					require.Equal(t, node == runner, p.whole[config] > 0, "%s on %s, %s runs it", config, node, runner)
					require.Positive(t, p.whole[config]+p.outlined[config], "%s on %s", config, node)
				}
			}
		}
		check()
		for config := range w.runners() {
			_, err := w.configs.Put(context.Background(), config, valid(2), cluster.Condition{})
			require.NoError(t, err)
		}
		w.pass(time.Minute)
		check()

		w.leave("b")
		w.pass(time.Minute)
		require.Equal(t, map[string]int{"a": configs}, w.count(configs))
		require.Len(t, parsed["a"].whole, configs, "it has parsed what it took over")
	})
}

func TestANodeTriesAgainToParseWhatItIsToRun(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		const configs = 20
		w.join("a", nil)
		w.put(configs)
		w.pass(time.Minute)
		refused := sync.Map{}
		w.join("b", func(o *actors.Options) {
			o.Outline = func(d messages.Document) (*config.Instance, error) {
				return config.OutlineInstance(d.Name, string(d.Text), config.InstanceOptions{})
			}
			o.Parse = func(d messages.Document) (*config.Instance, error) {
				if _, before := refused.LoadOrStore(d.Name, true); !before {
					return nil, errors.New("no file of that name, yet")
				}
				return config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{})
			}
		})
		w.pass(5 * time.Minute)
		require.Len(t, w.count(configs), 2, "both run some")
	})
}

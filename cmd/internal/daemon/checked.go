package daemon

import (
	"sync"

	"github.com/ringmaster-agent/ringmaster/config"
)

// Bounds of the uploads that are kept until the supervisor hears of them from the store.
const (
	mostChecked      = 256
	mostCheckedBytes = 1 << 20
)

// checked are uploads that this node has validated a moment ago. The supervisor takes them in place
// of parsing the same texts again, which would cost as much as the upload. What it does not find
// here it parses.
type checked struct {
	mu    sync.Mutex
	kept  map[string]checkedInstance // by name
	bytes int                        // of their texts
}

type checkedInstance struct {
	*config.Instance
	by config.InstanceOptions
}

// keep remembers an instance. If there are too many, it forgets the others: somebody else runs them.
func (c *checked) keep(i *config.Instance, by config.InstanceOptions) {
	if len(i.Text) > mostCheckedBytes {
		return
	}
	by.Origin = ""
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(i.Name)
	if c.kept == nil || len(c.kept) >= mostChecked || c.bytes+len(i.Text) > mostCheckedBytes {
		c.kept, c.bytes = map[string]checkedInstance{}, 0
	}
	c.kept[i.Name] = checkedInstance{i, by}
	c.bytes += len(i.Text)
}

// take returns the instance with this name and text that was validated by the same options, and
// forgets it. nil: there is none.
func (c *checked) take(name, text string, by config.InstanceOptions) *config.Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.kept[name]
	if !ok || known.Text != text {
		return nil
	}
	c.drop(name)
	if known.by != by {
		return nil
	}
	return known.Instance
}

// drop needs mu.
func (c *checked) drop(name string) {
	if known, ok := c.kept[name]; ok {
		c.bytes -= len(known.Text)
		delete(c.kept, name)
	}
}

package daemon

import (
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/config"
)

// Bounds of the uploads that are kept until the supervisor hears of them from the store.
const (
	mostChecked      = 256
	mostCheckedBytes = 1 << 20
	checkedFor       = 10 * time.Second
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
	by     config.InstanceOptions
	expiry *time.Timer
}

// keep remembers an instance, which takes many times the memory of its text, for a few seconds or
// until it is to be forgotten. If there are too many, it forgets the others: they are parsed again.
func (c *checked) keep(i *config.Instance, by config.InstanceOptions) (forget func()) {
	forget = func() { c.forget(i) }
	if len(i.Text) > mostCheckedBytes {
		return forget
	}
	by.Origin = ""
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(i.Name)
	if len(c.kept) >= mostChecked || c.bytes+len(i.Text) > mostCheckedBytes {
		for name := range c.kept {
			c.drop(name)
		}
	}
	if c.kept == nil {
		c.kept = map[string]checkedInstance{}
	}
	c.kept[i.Name] = checkedInstance{i, by, time.AfterFunc(checkedFor, forget)}
	c.bytes += len(i.Text)
	return forget
}

// forget drops this instance, unless another one of its name has been kept since.
func (c *checked) forget(i *config.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[i.Name].Instance == i {
		c.drop(i.Name)
	}
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
		known.expiry.Stop()
		c.bytes -= len(known.Text)
		delete(c.kept, name)
	}
}

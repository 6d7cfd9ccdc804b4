package cluster

import (
	"compress/gzip"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"
)

// Configs is the repository of instance configs in a Store: <prefix><name> → gzip of the YAML as
// the user wrote it. The key is the authority for the name. It neither parses nor validates the
// YAML.
type Configs struct {
	store    Store
	prefix   string
	encoders sync.Pool // of *gzip.Writer
	decoders sync.Pool // of *configDecoder
}

// StoredConfig is one config as the store has it. For EventDelete only Name and Revision are set.
type StoredConfig struct {
	Name string
	// Text is exactly what the user wrote, without what Document.Insert added.
	Text string
	// Revision is the store's revision at which the config was last written, or deleted.
	Revision int64
	// Written is when the config was last written, to the second, by the clock of who wrote it; what
	// all nodes see alike. Zero if who wrote it has not said so, as Grafana Agent.
	Written time.Time
	// Changed is Written if the config was there before; zero if it is new.
	Changed time.Time
	// Err says why the value could not be decoded; Text is empty then. It concerns this config only.
	Err error
}

// Document is a config's text on its way into the store.
type Document struct {
	// Text is what the user wrote.
	Text string
	// Insert is stored inside of Text, at byte At, for readers that take a config's name from its
	// text, as Grafana Agent does. Who reads the config here gets Text without it.
	Insert string
	At     int
}

// ConfigEvent is one change of the set of configs, with the meaning of Event. For EventRelist only
// Config.Revision is set.
type ConfigEvent struct {
	Kind   EventKind
	Config StoredConfig
}

// NewConfigs returns the repository under prefix. A key is the prefix with the name behind it,
// nothing between and nothing escaped, as Grafana Agent had it. The prefix may be empty.
func NewConfigs(s Store, prefix string) *Configs {
	c := &Configs{store: s, prefix: prefix}
	c.encoders.New = func() any { return gzip.NewWriter(nil) }
	c.decoders.New = func() any { return new(configDecoder) }
	return c
}

// Get reads one config. ErrNotFound if there is none. A value that can't be decoded is not an error
// of Get: it is told in StoredConfig.Err.
func (c *Configs) Get(ctx context.Context, name string) (StoredConfig, error) {
	e, err := c.store.Get(ctx, c.prefix+name)
	if err != nil {
		return StoredConfig{}, fmt.Errorf("get config %q: %w", name, err)
	}
	return c.decode(e), nil
}

// List reads all configs in one read, sorted by name, as of one revision. Values that can't be
// decoded are among them, with their Err.
func (c *Configs) List(ctx context.Context) (configs []StoredConfig, at Point, err error) {
	l, err := c.store.List(ctx, c.prefix)
	if err != nil {
		return nil, Point{}, fmt.Errorf("list configs: %w", err)
	}
	configs = make([]StoredConfig, 0, len(l.Entries))
	for _, e := range l.Entries {
		if e.Key != c.prefix { // a key without a name is nobody's config
			configs = append(configs, c.decode(e))
		}
	}
	return configs, Point{Revision: l.Revision, Era: l.Era}, nil
}

// Put is PutDocument of a text that gets no insertion.
func (c *Configs) Put(ctx context.Context, name, text string, cond Condition) (PutResult, error) {
	return c.PutDocument(ctx, name, Document{Text: text}, cond)
}

// PutDocument stores a config and returns once it is durable. The name must not be empty.
// ErrConflict if the condition does not hold.
func (c *Configs) PutDocument(ctx context.Context, name string, d Document, cond Condition) (PutResult, error) {
	if name == "" {
		return PutResult{}, fmt.Errorf("put config: the name is empty")
	}
	w := c.encoders.Get().(*gzip.Writer)
	value, err := encodeConfig(w, d, time.Now())
	c.encoders.Put(w)
	if err != nil {
		return PutResult{}, fmt.Errorf("put config %q: %w", name, err)
	}
	res, err := c.store.Put(ctx, PutRequest{Key: c.prefix + name, Value: value, If: cond})
	if err != nil {
		return PutResult{}, fmt.Errorf("put config %q: %w", name, err)
	}
	return res, nil
}

// Delete removes a config. ErrNotFound if there is none, ErrConflict if the condition does not hold.
func (c *Configs) Delete(ctx context.Context, name string, cond Condition) error {
	if _, err := c.store.Delete(ctx, c.prefix+name, cond); err != nil {
		return fmt.Errorf("delete config %q: %w", name, err)
	}
	return nil
}

// Watch delivers the changes made after revision, as Store.Watch does, until ctx is over or the
// store is closed.
func (c *Configs) Watch(ctx context.Context, after int64) iter.Seq[ConfigEvent] {
	return func(yield func(ConfigEvent) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for ev := range c.store.Watch(ctx, c.prefix, after) {
			if ev.Kind != EventRelist && ev.Entry.Key == c.prefix {
				continue
			}
			if !yield(c.translate(ev)) {
				return
			}
		}
	}
}

func (c *Configs) translate(ev Event) ConfigEvent {
	switch ev.Kind {
	case EventPut:
		return ConfigEvent{Kind: EventPut, Config: c.decode(ev.Entry)}
	case EventDelete:
		return ConfigEvent{Kind: EventDelete, Config: StoredConfig{Name: c.name(ev.Entry), Revision: ev.Entry.Revision}}
	default:
		return ConfigEvent{Kind: ev.Kind, Config: StoredConfig{Revision: ev.Entry.Revision}}
	}
}

func (c *Configs) name(e Entry) string { return strings.TrimPrefix(e.Key, c.prefix) }

func (c *Configs) decode(e Entry) StoredConfig {
	d := c.decoders.Get().(*configDecoder)
	defer c.decoders.Put(d)
	text, written, err := d.decode(e.Value)
	if err != nil {
		err = fmt.Errorf("decode stored config %q: %w", c.name(e), err)
	}
	stored := StoredConfig{Name: c.name(e), Text: text, Revision: e.Revision, Written: written, Err: err}
	if e.Created != e.Revision {
		stored.Changed = written
	}
	return stored
}

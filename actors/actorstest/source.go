package actorstest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// Source is an actors.ConfigSource in memory that can be made to fail. The zero value is not
// usable; see NewSource.
type Source struct {
	mu       sync.Mutex
	revision int64
	era      cluster.Era
	configs  map[string]cluster.StoredConfig
	streams  map[*stream]bool
	listing  Script
	listed   int
	deaf     bool
}

// stream is one watch: events that wait for their reader, and a token that says that there are some.
type stream struct {
	mu     sync.Mutex
	events []cluster.ConfigEvent
	ready  chan struct{}
	broken chan struct{}
}

// NewSource returns an empty source.
func NewSource() *Source {
	return &Source{configs: map[string]cluster.StoredConfig{}, streams: map[*stream]bool{}}
}

// Put writes a config.
func (s *Source) Put(name, text string) { s.write(cluster.StoredConfig{Name: name, Text: text}) }

// PutGarbage writes a value that can't be decoded.
func (s *Source) PutGarbage(name string) {
	s.write(cluster.StoredConfig{Name: name, Err: errors.New("not a gzip stream")})
}

func (s *Source) write(c cluster.StoredConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	c.Revision = s.revision
	s.configs[c.Name] = c
	s.publish(cluster.ConfigEvent{Kind: cluster.EventPut, Config: c})
}

// Delete deletes a config.
func (s *Source) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.configs, name)
	s.publish(cluster.ConfigEvent{Kind: cluster.EventDelete, Config: cluster.StoredConfig{Name: name, Revision: s.revision}})
}

// Deaf makes every later event get lost, until it is called with false.
func (s *Source) Deaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// Relist tells the watchers that events were lost.
func (s *Source) Relist() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		stream.push(cluster.ConfigEvent{Kind: cluster.EventRelist, Config: cluster.StoredConfig{Revision: s.revision}})
	}
}

// BreakStreams ends every watch, as a store does that is closed.
func (s *Source) BreakStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		close(stream.broken)
	}
	clear(s.streams)
}

// OnList makes listings play the script first; nil makes them succeed again.
func (s *Source) OnList(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing = script
}

// Empty makes it another store: it has nothing, and counts its revisions from the given one.
func (s *Source) Empty(revision int64) {
	s.mu.Lock()
	clear(s.configs)
	s.revision = revision
	s.era.Rewinds++
	s.mu.Unlock()
	s.BreakStreams()
}

// Listings is how often the source was listed.
func (s *Source) Listings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// List implements actors.ConfigSource.
func (s *Source) List(ctx context.Context) ([]cluster.StoredConfig, cluster.Point, error) {
	s.mu.Lock()
	s.listed++
	script := s.listing
	s.mu.Unlock()
	if script != nil {
		if err := script(ctx); err != nil {
			return nil, cluster.Point{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	configs := make([]cluster.StoredConfig, 0, len(s.configs))
	for _, c := range s.configs {
		configs = append(configs, c)
	}
	slices.SortFunc(configs, func(a, b cluster.StoredConfig) int { return strings.Compare(a.Name, b.Name) })
	return configs, cluster.Point{Revision: s.revision, Era: s.era}, nil
}

// Watch implements actors.ConfigSource. Changes between the revision and now are not delivered if
// the source was deaf.
func (s *Source) Watch(ctx context.Context, after int64) iter.Seq[cluster.ConfigEvent] {
	st := &stream{ready: make(chan struct{}, 1), broken: make(chan struct{})}
	s.mu.Lock()
	for _, c := range s.configs {
		if c.Revision > after && !s.deaf {
			st.push(cluster.ConfigEvent{Kind: cluster.EventPut, Config: c})
		}
	}
	s.streams[st] = true
	s.mu.Unlock()
	return func(yield func(cluster.ConfigEvent) bool) {
		for {
			for _, e := range st.take() {
				if ctx.Err() != nil || !yield(e) {
					return
				}
			}
			select {
			case <-st.ready:
			case <-st.broken:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *Source) publish(e cluster.ConfigEvent) {
	if s.deaf {
		return
	}
	for stream := range s.streams {
		stream.push(e)
	}
}

func (st *stream) push(e cluster.ConfigEvent) {
	st.mu.Lock()
	st.events = append(st.events, e)
	st.mu.Unlock()
	select {
	case st.ready <- struct{}{}:
	default:
	}
}

func (st *stream) take() []cluster.ConfigEvent {
	st.mu.Lock()
	defer st.mu.Unlock()
	events := st.events
	st.events = nil
	return events
}

package web

import (
	"slices"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// Bounds of a Journal: of one config, and together.
const (
	journalOfConfig = 32
	journalOfAll    = 4096
)

// Happened is something that happened to a unit of a config on a node.
type Happened struct {
	At   time.Time `json:"at"`
	Node string    `json:"node,omitempty"`
	Unit string    `json:"unit,omitempty"`
	Text string    `json:"text"`
	// Wrong: a person should know.
	Wrong bool `json:"wrong,omitempty"`
	// Times is how often it happened one after the other, the last time at At; 0 is once.
	Times int `json:"times,omitempty"`
	// Epoch is that of a move, of which all nodes tell; 0 for anything else.
	Epoch int64 `json:"epoch,omitempty"`
}

// Journal keeps the newest of what happened to each config in memory: 32 of a config, 4,096
// together. The zero value is empty. Any goroutine may use it.
type Journal struct {
	mu      sync.Mutex
	entries []journalEntry // oldest first
	counts  map[string]int
}

type journalEntry struct {
	config string
	Happened
}

// Note adds what happened, and forgets the oldest where that is too much. What happens again is
// counted. It does not block.
func (j *Journal) Note(config string, h Happened) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.counts == nil {
		j.counts = map[string]int{}
	}
	if last := j.lastOf(config); last != nil && last.Text == h.Text && last.Unit == h.Unit && last.Epoch == h.Epoch {
		last.Times, last.At = max(last.Times, 1)+1, h.At
		return
	}
	oldest := -1
	switch {
	case j.counts[config] >= journalOfConfig: // one that fails all the time displaces nobody
		oldest = slices.IndexFunc(j.entries, func(e journalEntry) bool { return e.config == config })
	case len(j.entries) >= journalOfAll:
		oldest = 0
	}
	if oldest >= 0 {
		displaced := j.entries[oldest].config
		if j.counts[displaced]--; j.counts[displaced] == 0 {
			delete(j.counts, displaced)
		}
		j.entries = slices.Delete(j.entries, oldest, oldest+1)
	}
	j.entries = append(j.entries, journalEntry{config, h})
	j.counts[config]++
}

// lastOf is the newest entry of a config, nil if there is none. It needs mu.
func (j *Journal) lastOf(config string) *Happened {
	if j.counts[config] == 0 {
		return nil
	}
	for i := len(j.entries) - 1; i >= 0; i-- {
		if j.entries[i].config == config {
			return &j.entries[i].Happened
		}
	}
	return nil
}

// Of is what happened to a config, oldest first.
func (j *Journal) Of(config string) (happened []Happened) {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		if e.config == config {
			happened = append(happened, e.Happened)
		}
	}
	return happened
}

// redactedJournal is a journal as it may be shown.
func redactedJournal(of func(config string) []Happened) func(config string) []Happened {
	return func(config string) []Happened {
		all := slices.Clone(of(config))
		for i := range all {
			all[i].Text = redact.Text(all[i].Text)
		}
		return all
	}
}

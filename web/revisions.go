package web

import (
	"container/list"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/ringmaster-agent/ringmaster/config"
)

// Bounds of the texts that a node keeps of configs that were uploaded to it.
const (
	revisionsOfConfig = 5
	revisionBytes     = 16 << 20
	// mostDiffLines is from how many lines on two texts are not compared.
	mostDiffLines = 5_000
	// mostDiffBytes is how much of a difference a page shows.
	mostDiffBytes = 32 << 10
)

// revisions are the newest texts of configs that were uploaded to this node, with what they
// replaced, in memory: stores keep no history that all of them could be asked for. What is written
// into the store by other means, or before this process began, is not among them.
type revisions struct {
	mu    sync.Mutex
	kept  list.List                  // of keptRevision, oldest first
	named map[string][]*list.Element // of each config, oldest first
	bytes int
}

type keptRevision struct {
	name, text string
	revision   int64
	at         time.Time // when it was uploaded; zero if that is not known
}

// keep remembers a text, and forgets the oldest where that is too much.
func (k *revisions) keep(one keptRevision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.named[one.name] {
		if e.Value.(keptRevision).revision == one.revision {
			return
		}
	}
	if len(k.named[one.name]) >= revisionsOfConfig {
		k.drop(one.name)
	}
	if k.named == nil {
		k.named = map[string][]*list.Element{}
	}
	k.named[one.name] = append(k.named[one.name], k.kept.PushBack(one))
	k.bytes += len(one.text)
	for k.bytes > revisionBytes && k.kept.Len() > 0 {
		k.drop(k.kept.Front().Value.(keptRevision).name)
	}
}

// drop forgets the oldest text of a config. It needs mu.
func (k *revisions) drop(name string) {
	oldest := k.named[name][0]
	k.bytes -= len(oldest.Value.(keptRevision).text)
	k.kept.Remove(oldest)
	if k.named[name] = slices.Delete(k.named[name], 0, 1); len(k.named[name]) == 0 {
		delete(k.named, name)
	}
}

func (k *revisions) of(name string) (kept []keptRevision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.named[name] {
		kept = append(kept, e.Value.(keptRevision))
	}
	return kept
}

func (k *revisions) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.named[name]) > 0 {
		k.drop(name)
	}
}

// keepReplaced remembers what an upload is about to replace, unless an upload before has. That it
// can't be read fails no upload, and a store that does not answer leaves it most of its time.
func (s *Server) keepReplaced(ctx context.Context, name string) {
	if len(s.revisions.of(name)) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StoreTimeout/10)
	defer cancel()
	if stored, err := s.opts.Configs.Get(ctx, name); err == nil && stored.Err == nil {
		s.revisions.keep(keptRevision{name: name, text: stored.Text, revision: stored.Revision, at: stored.Changed})
	}
}

// maskedRevision is a text that a node keeps of a config, as it may be shown.
type maskedRevision struct {
	Revision int64     `json:"revision"`
	At       time.Time `json:"at,omitzero"`
	Text     string    `json:"text"`
}

// ownRevisions are those of this node.
func (s *Server) ownRevisions(name string) []maskedRevision {
	shown := []maskedRevision{}
	if !s.opts.ReadAPI {
		return shown
	}
	for _, one := range s.revisions.of(name) {
		if text, err := config.MaskInstance(one.text); err == nil {
			shown = append(shown, maskedRevision{one.revision, one.at, text})
		}
	}
	return shown
}

// before is the newest revision older than the one that is stored, as far as any node has kept it.
func before(revision int64, nodes []configPart) (found *maskedRevision) {
	for n := range nodes {
		for i := range nodes[n].Revisions {
			one := &nodes[n].Revisions[i]
			if one.Revision < revision && (found == nil || one.Revision > found.Revision) {
				found = one
			}
		}
	}
	return found
}

// diffLine is a line of a difference; Class is gone, fresh, at, or empty for one that stays.
type diffLine struct{ Class, Text string }

// diffOf is the difference of two masked texts, and remarks where there is none to show.
func diffOf(from, to string) (lines []diffLine, remark string) {
	a, b := difflib.SplitLines(from), difflib.SplitLines(to)
	if len(a) > mostDiffLines || len(b) > mostDiffLines {
		return nil, "The texts are too long to be compared here."
	}
	if from == to {
		return nil, "They differ in nothing that may be shown: a secret, a comment or spaces are another."
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: a, B: b, Context: 3})
	if err != nil {
		return nil, err.Error()
	}
	if len(text) > mostDiffBytes {
		text, remark = strings.ToValidUTF8(text[:mostDiffBytes], ""), "The rest of the difference is not shown."
	}
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		class := ""
		switch {
		case strings.HasPrefix(line, "@@"):
			class = "at"
		case strings.HasPrefix(line, "-"):
			class = "gone"
		case strings.HasPrefix(line, "+"):
			class = "fresh"
		}
		lines = append(lines, diffLine{class, line})
	}
	return lines, remark
}

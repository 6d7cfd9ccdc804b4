package reshard_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// TestStories plays the files in testdata: what the store says, and what comes of it. After each
// command every plan is performed at once, as if instances were instant, and the story shows what
// was done and what is held. A config's text is its digest; the text "bad" is not valid, and
// "garbage" can't be decoded.
//
//	put NAME=TEXT rev=N
//	delete NAME rev=N
//	listed NAME=TEXT@N … rev=N
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, w.play)
	})
}

type world struct {
	catalog   *knowledge.Catalog
	documents map[string]Document
	instances map[messages.Unit]Instance
}

func newWorld() *world {
	return &world{catalog: knowledge.NewCatalog(), documents: map[string]Document{}, instances: map[messages.Unit]Instance{}}
}

func (w *world) play(t *testing.T, d *datadriven.TestData) string {
	revision := int64(0)
	var docs []messages.Document
	for _, arg := range d.CmdArgs {
		if arg.Key == "rev" {
			revision, _ = strconv.ParseInt(arg.Vals[0], 10, 64)
			continue
		}
		doc := messages.Document{Name: arg.Key}
		if len(arg.Vals) > 0 {
			text, at, _ := strings.Cut(arg.Vals[0], "@")
			doc.Text = messages.Text(text)
			doc.Revision, _ = strconv.ParseInt(at, 10, 64)
			if text == "garbage" {
				doc.Text, doc.Problem = "", "not a gzip stream"
			}
		}
		docs = append(docs, doc)
	}
	var changes []knowledge.Change
	switch d.Cmd {
	case "put":
		docs[0].Revision = revision
		changes = w.catalog.Put(docs[0])
	case "delete":
		changes = w.catalog.Delete(docs[0].Name, revision)
	case "listed":
		changes = w.catalog.Listed(messages.NewList(docs...), revision)
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	return w.settle(changes)
}

func (w *world) settle(changes []knowledge.Change) string {
	for _, c := range changes {
		if c.Kind == knowledge.Deleted {
			delete(w.documents, c.Name)
			continue
		}
		doc, _, _ := w.catalog.Get(c.Name)
		valid := w.documents[c.Name].Valid
		switch {
		case doc.Problem != "":
			w.documents[c.Name] = Document{Valid: valid, Problem: doc.Problem}
		case doc.Text == "bad":
			w.documents[c.Name] = Document{Valid: valid, Problem: "bad text"}
		default:
			digest := messages.Digest{}
			copy(digest[:], doc.Text)
			w.documents[c.Name] = Document{Valid: Version{Revision: doc.Revision, Digest: digest}}
		}
	}
	for name, doc := range w.documents {
		_, standing, _ := w.catalog.Get(name)
		doc.Vanished, doc.Orphaned = standing == knowledge.Vanished, standing == knowledge.Orphaned
		w.documents[name] = doc
	}
	plan := Decide(View{Now: now, Owners: Alone{}, Complete: w.catalog.Complete(), Documents: w.documents, Instances: w.instances})
	return w.perform(plan)
}

func (w *world) perform(p Plan) string {
	var out strings.Builder
	for _, s := range p.Start {
		w.instances[s.Unit] = Instance{Generation: 1, Phase: messages.PhaseRunning, Ordered: s.Version.Digest}
		fmt.Fprintf(&out, "start %v\n", s.Unit)
	}
	for _, r := range p.Reload {
		i := w.instances[r.Unit]
		i.Ordered = r.Version.Digest
		w.instances[r.Unit] = i
		fmt.Fprintf(&out, "reload %v\n", r.Unit)
	}
	for _, s := range p.Stop {
		delete(w.instances, s.Unit)
		fmt.Fprintf(&out, "stop %v: %v\n", s.Unit, s.Reason)
	}
	for _, h := range p.Hold {
		fmt.Fprintf(&out, "hold %v: %v\n", h.Unit, h)
	}
	if doubt := w.catalog.Doubt(); doubt != "" {
		fmt.Fprintf(&out, "doubt: %s\n", doubt)
	}
	var running []string
	for unit := range w.instances {
		running = append(running, unit.Key())
	}
	slices.Sort(running)
	if running == nil {
		running = []string{"nothing"}
	}
	fmt.Fprintf(&out, "running: %s\n", strings.Join(running, " "))
	return out.String()
}

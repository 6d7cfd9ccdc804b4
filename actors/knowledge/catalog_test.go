package knowledge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestTheStoreCountsMoreThanWhatIsRecalled(t *testing.T) {
	document := func(name, text string, revision int64) messages.Document {
		return messages.Document{Name: name, Text: messages.Text(text), Revision: revision}
	}
	c := NewCatalog()
	require.Equal(t, []Change{{Name: "a", Kind: Created}}, c.Put(document("a", "new", 5)))
	recalled := []messages.Document{document("a", "old", 900), document("b", "old", 900), document("c", "old", 900)}
	require.Equal(t, []Change{{Name: "b", Kind: Created}, {Name: "c", Kind: Created}}, c.Recall(recalled))
	a, _, _ := c.Get("a")
	require.Equal(t, messages.Text("new"), a.Text)
	require.False(t, c.Complete(), "there may be others")

	changes := c.Listed(messages.NewList(document("a", "new", 5), document("b", "new", 3)), 906)
	require.ElementsMatch(t, []Change{{Name: "b", Kind: Updated}, {Name: "c", Kind: Deleted}}, changes)
	require.True(t, c.Complete())

	require.Empty(t, c.Recall(recalled), "what was deleted stays deleted")
	_, _, known := c.Get("c")
	require.False(t, known)
}

func TestAStoreThatIsNotTheOneThatHadThemSaysNothingAboutDeletions(t *testing.T) {
	document := func(name string, revision int64) messages.Document {
		return messages.Document{Name: name, Text: "new", Revision: revision}
	}
	standing := func(c *Catalog, name string) Standing {
		_, standing, known := c.Get(name)
		require.True(t, known, name)
		return standing
	}
	empty := messages.NewList[messages.Document]()
	beginnings := map[string]func(*Catalog){
		"whose revision is behind": func(c *Catalog) {
			c.Listed(messages.NewList(document("a", 50), document("b", 60)), 70)
			require.Empty(t, c.Listed(empty, 8))
			require.Equal(t, Present, standing(c, "a"), "one listing is not enough")
			require.Empty(t, c.Listed(empty, 9))
		},
		"and says so, with any revision": func(c *Catalog) {
			c.Listed(messages.NewList(document("a", 50), document("b", 60)), 70)
			c.Restored()
			require.Empty(t, c.Listed(empty, 700))
			require.Empty(t, c.Listed(empty, 701))
		},
		"behind what was known before a restart": func(c *Catalog) {
			c.Recall([]messages.Document{document("a", 50), document("b", 60)})
			require.Empty(t, c.Listed(empty, 8))
		},
	}
	for name, begin := range beginnings {
		t.Run(name, func(t *testing.T) {
			c := NewCatalog()
			begin(c)
			for revision := int64(710); revision < 720; revision++ {
				require.Empty(t, c.Listed(empty, revision))
			}
			require.True(t, c.Complete())
			require.Equal(t, Orphaned, standing(c, "a"))
			require.Contains(t, c.Doubt(), "2 of 2")
			require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Put(document("a", 730)))
			require.Equal(t, Present, standing(c, "a"))
			require.Equal(t, []Change{{Name: "b", Kind: Deleted}}, c.Delete("b", 731), "a deletion that was seen is believed")
			c.Listed(messages.NewList(document("a", 730), document("c", 732)), 732)
			require.Empty(t, c.Doubt())
			require.Equal(t, []Change{{Name: "a", Kind: Deleted}}, c.Listed(messages.NewList(document("c", 732)), 740), "what this store had and lacks was deleted")
		})
	}
}

// All nodes that run it go on by its version of before, and have to change over at one instant.
func TestADocumentOfAnotherStoreThatIsWrittenInThisOneHasChanged(t *testing.T) {
	written := time.Unix(1_800_000_000, 0).UTC()
	document := func(text string, revision int64) messages.Document {
		return messages.Document{Name: "a", Text: messages.Text(text), Revision: revision, Written: written}
	}
	changed := func(c *Catalog) time.Time {
		d, _, known := c.Get("a")
		require.True(t, known)
		return d.Changed
	}
	empty, again := messages.NewList[messages.Document](), messages.NewList(document("new", 12))
	for name, back := range map[string]func(*Catalog){
		"a write is heard of": func(c *Catalog) {
			c.Listed(empty, 8)
			c.Listed(empty, 9)
			require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Put(document("new", 12)))
		},
		"it is in a later listing": func(c *Catalog) {
			c.Listed(empty, 8)
			c.Listed(empty, 9)
			require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Listed(again, 12))
		},
		"it is in the first listings": func(c *Catalog) {
			require.Empty(t, c.Listed(again, 12))
			require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Listed(again, 13))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCatalog()
			c.Listed(messages.NewList(document("old", 50)), 70)
			require.Zero(t, changed(c), "it is new")
			back(c)
			require.Equal(t, written, changed(c))
			require.Empty(t, c.Listed(again, 14), "it is the same")
			require.Equal(t, written, changed(c))
			c.Put(document("newer", 15))
			require.Zero(t, changed(c), "it was deleted, and is new")
		})
	}
}

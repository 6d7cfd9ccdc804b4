package knowledge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAfterTheStoreWasRestoredItsNewWritesCountAlsoWhenItHasGrownPastItsOldRevisions(t *testing.T) {
	c := NewCatalog()
	before := messages.Document{Name: "a", Text: "old", Revision: 35}
	c.Listed(messages.NewList(before), 35)
	c.Restored()
	now := messages.Document{Name: "a", Text: "new", Revision: 23}
	require.Empty(t, c.Listed(messages.NewList(now), 24), "one listing is not enough")
	require.NotEmpty(t, c.Doubt())
	require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Listed(messages.NewList(now), 39))
	known, _, _ := c.Get("a")
	require.Equal(t, now, known)
	require.Empty(t, c.Doubt())
	require.Equal(t, []Change{{Name: "a", Kind: Deleted}}, c.Delete("a", 40))
}

func TestAListingCountsMoreThanAnOlderWriteOfAConfigItHasWithALowerRevision(t *testing.T) {
	// The store has lost its data and has grown past its old revisions before anybody looked, so
	// nothing told that it is another one.
	c := NewCatalog()
	c.Listed(messages.NewList(messages.Document{Name: "a", Text: "old", Revision: 78}), 78)
	now := messages.Document{Name: "a", Text: "new", Revision: 75}
	require.Equal(t, []Change{{Name: "a", Kind: Updated}}, c.Listed(messages.NewList(now), 79))
	c.Put(messages.Document{Name: "a", Text: "newer", Revision: 82})
	require.Empty(t, c.Listed(messages.NewList(now), 81), "what was written after the listing counts more")
}

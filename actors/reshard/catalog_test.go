package reshard_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
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

	changes := c.Listed(messages.NewList(document("a", "new", 5), document("b", "new", 3)), 6)
	require.ElementsMatch(t, []Change{{Name: "b", Kind: Updated}, {Name: "c", Kind: Deleted}}, changes, "revisions that were recalled mean nothing")
	require.True(t, c.Complete())

	require.Empty(t, c.Recall(recalled), "what was deleted stays deleted")
	_, _, known := c.Get("c")
	require.False(t, known)
}

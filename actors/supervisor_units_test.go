package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// A unit was released, its next generation waits, and another node has scraped since. If the store
// is restored from a backup now, the claim of before is in force again: the handover is not.
func TestAWaitingInstanceDoesNotResumeWhereOthersHaveGoneOn(t *testing.T) {
	id := messages.Unit{Config: "app"}
	for name, test := range map[string]struct {
		claim   messages.Claim
		epoch   int64
		resumes bool
	}{
		"another node has claimed the unit":              {claim: messages.Claim{Unit: id, Node: "b", Revision: 46}},
		"the release is in the store, for all to take":   {claim: messages.Claim{Unit: id, Node: "a", Revision: 45, Released: true}},
		"this node has claimed it":                       {claim: messages.Claim{Unit: id, Node: "a", Revision: 46}, resumes: true},
		"it runs already, and may have to be told again": {claim: messages.Claim{Unit: id, Node: "b", Revision: 46}, epoch: 40, resumes: true},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unit{Unit: id}
			u.resume, u.epoch = "tick 25", test.epoch
			k := &units{all: map[messages.Unit]*unit{id: u}}
			k.heardOf(test.claim, "a")
			require.Equal(t, test.resumes, u.resume != "")
		})
	}
}

package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestHowAChangedConfigIsDividedAtFirst(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	division := func(slices, until int) config.Division { return config.Division{Slices: slices, Until: at(until)} }
	three, one := &config.Instance{Slices: 3}, &config.Instance{Slices: 1}
	changing := &config.Instance{Slices: 3, Earlier: []config.Division{division(1, 4)}}
	for _, test := range []struct {
		name          string
		before, after *config.Instance
		changed       time.Time
		want          []config.Division
	}{
		{"It is new", nil, three, now, nil},
		{"The number of slices is the same", three, &config.Instance{Slices: 3}, now, nil},
		{"The number grows", one, three, at(-2), []config.Division{division(1, 8)}},
		{"The number shrinks", three, one, at(-2), []config.Division{division(3, 8)}},
		{"It is told of too late", one, three, at(-10), nil},
		{"It is not known when it was changed", one, three, time.Time{}, nil},
		{"It was changed an hour from now", one, three, at(3600), nil},
		{"A change before it is not in force yet", changing, one, at(-1), []config.Division{division(1, 4), division(3, 9)}},
		{"A change before it was replaced soon", &config.Instance{Slices: 3, Earlier: []config.Division{division(1, 8)}}, one, at(-1), []config.Division{division(1, 9)}},
		{"A change before it is not in force yet, and the number stays", changing, three, at(-1), []config.Division{division(1, 4)}},
		{"A change before it is in force", &config.Instance{Slices: 3, Earlier: []config.Division{division(1, 0)}}, one, now, []config.Division{division(3, 10)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			slices := test.after.Slices
			divided := succeed(test.before, test.after, test.changed, now)
			require.Equal(t, test.want, divided.Earlier)
			require.Equal(t, slices, divided.Slices)
			require.Empty(t, test.after.Earlier, "what was parsed is shared")
		})
	}
}

// A config is uploaded again to a store that was emptied, with another number of slices, while the
// nodes run the one of before.
func TestAConfigThatComesBackToAnotherStoreIsDividedAsBeforeAtFirst(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	k := newDocuments(zap.NewNop(), false)
	put := func(d messages.Document, slices int) {
		k.fold(messages.ConfigPut{Document: d})
		batch := k.nextBatch(1)
		require.Len(t, batch, 1)
		batch[0].config = &config.Instance{Slices: slices}
		k.foldParsed(parsed{outcomes: batch}, now)
	}
	put(messages.Document{Name: "app", Revision: 50, Text: "four", Written: now.Add(-time.Hour)}, 4)
	for _, revision := range []int64{60, 8, 9} {
		k.fold(messages.ConfigsListed{Revision: revision, Afresh: revision == 8})
	}
	put(messages.Document{Name: "app", Revision: 12, Text: "one", Written: now.Add(-time.Second)}, 1)
	require.Equal(t, []config.Division{{Slices: 4, Until: now.Add(9 * time.Second)}}, k.known["app"].config.Earlier)
}

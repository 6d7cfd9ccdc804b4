package actors

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// parseAll does what the goroutines do, until nothing waits. Only the first revision is valid.
func parseAll(k *documents) {
	var batches [][]outcome
	for batch := k.nextBatch(10); batch != nil; batch = k.nextBatch(10) {
		batches = append(batches, batch)
	}
	for _, batch := range batches {
		for i := range batch {
			if o := &batch[i]; o.document.Revision > 1 {
				o.err = errors.New("not valid")
			} else {
				o.config = &config.Instance{Slices: 1}
			}
		}
		k.foldParsed(parsed{outcomes: batch}, time.Now())
	}
}

// A node is to run a config whose newest version is not valid, and is parsed at that moment.
func TestTheVersionInForceIsFetchedWhileANewerOneIsNotValid(t *testing.T) {
	k := newDocuments(zap.NewNop(), false)
	k.runs = func(string) bool { return false }
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 1, Text: "one"}})
	parseAll(k)
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 2, Text: "two"}})
	require.Nil(t, k.fetch("app"), "only its outline is there")
	parseAll(k)
	require.NotNil(t, k.fetch("app"))
	require.Equal(t, "not valid", k.known["app"].problem)
}

// failing has everything that waits parsed, in vain if it is to be parsed as a whole.
func failing(k *documents) {
	for batch := k.nextBatch(10); batch != nil; batch = k.nextBatch(10) {
		for i := range batch {
			if o := &batch[i]; o.whole {
				o.err = errors.New("no file of that name")
			} else {
				o.config = &config.Instance{Slices: 2}
			}
		}
		k.foldParsed(parsed{outcomes: batch}, time.Now())
	}
}

func TestWhatCouldNotBeFetchedIsFetchedAgain(t *testing.T) {
	k, runs := newDocuments(zap.NewNop(), false), false
	k.runs = func(string) bool { return runs }
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 1, Text: "one"}})
	failing(k)
	require.Equal(t, 2, k.known["app"].slices())

	runs = true
	require.Nil(t, k.fetch("app"))
	failing(k)
	require.Equal(t, "no file of that name", k.known["app"].problem)
	require.Zero(t, k.view(k.known["app"]).Valid, "it can't run here")

	k.fetchAgain()
	failing(k)
	require.Equal(t, "no file of that name", k.known["app"].problem, "still")

	k.fetchAgain()
	k.fetchAgain() // while it is under way
	parseAll(k)
	require.NotNil(t, k.fetch("app"))
	require.Empty(t, k.known["app"].problem)
	require.EqualValues(t, 1, k.view(k.known["app"]).Valid.Revision)
	require.Equal(t, 1, k.valid)

	k.fetchAgain()
	require.Empty(t, k.parsing.waiting, "there is nothing to do any more")
}

func TestOfWhatCouldNotBeFetchedTheOutlineComesBackWhenAnotherNodeIsToRunIt(t *testing.T) {
	k, runs := newDocuments(zap.NewNop(), false), false
	k.runs = func(string) bool { return runs }
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 1, Text: "one"}})
	failing(k)
	runs = true
	require.Nil(t, k.fetch("app"))
	failing(k)
	runs = false
	k.fetchAgain()
	failing(k)
	require.Equal(t, 2, k.known["app"].slices())
	require.Nil(t, k.known["app"].whole)
}

func TestTheReasonWhyTheNewestVersionIsNotValidComesBack(t *testing.T) {
	k := newDocuments(zap.NewNop(), false)
	k.runs = func(string) bool { return false }
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 1, Text: "one"}})
	parseAll(k)
	k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: 2, Text: "two"}})
	parseAll(k)
	k.runs = func(string) bool { return true }
	require.Nil(t, k.fetch("app"))
	failing(k)
	require.Equal(t, "no file of that name", k.known["app"].problem)
	k.fetchAgain()
	parseAll(k)
	require.NotNil(t, k.fetch("app"))
	parseAll(k)
	require.Equal(t, "not valid", k.known["app"].problem)
	require.EqualValues(t, 1, k.view(k.known["app"]).Valid.Revision)
}

// A config has got more slices a moment ago. Until all nodes have heard of that, the old division
// is in force, whatever happens to the parsing meanwhile.
func TestTheOldDivisionIsInForceAgainWhenWhatCouldNotBeFetchedIsBack(t *testing.T) {
	start := time.Now()
	k, runs, fails := newDocuments(zap.NewNop(), false), false, false
	k.runs = func(string) bool { return runs }
	parse := func() {
		for batch := k.nextBatch(10); batch != nil; batch = k.nextBatch(10) {
			for i := range batch {
				if o := &batch[i]; fails {
					o.err = errors.New("no file of that name")
				} else {
					o.config = &config.Instance{Slices: int(o.document.Revision)}
				}
			}
			k.foldParsed(parsed{outcomes: batch}, start)
		}
	}
	for revision := range int64(2) {
		k.fold(messages.ConfigPut{Document: messages.Document{Name: "app", Revision: revision + 1, Text: "text", Changed: start}})
		parse()
	}
	runs, fails = true, true
	require.Nil(t, k.fetch("app"))
	parse()
	require.Zero(t, k.known["app"].slices())

	fails = false
	k.fetchAgain()
	parse()
	earlier := k.fetch("app").Earlier
	require.Len(t, earlier, 1)
	require.Equal(t, 1, earlier[0].Slices)
}

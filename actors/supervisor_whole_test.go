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

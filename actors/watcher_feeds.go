package actors

import (
	"context"
	"iter"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// configFeed is the stored configs.
type configFeed struct{ ConfigSource }

func (configFeed) what() string { return "configs" }

func (f configFeed) list(ctx context.Context, afresh bool) (any, cluster.Point, error) {
	configs, at, err := f.List(ctx)
	if err != nil {
		return nil, at, err
	}
	documents := make([]messages.Document, len(configs))
	for i, stored := range configs {
		documents[i] = documentOf(stored)
	}
	return messages.ConfigsListed{Documents: messages.NewList(documents...), Revision: at.Revision, Era: at.Era, Afresh: afresh}, at, nil
}

func (f configFeed) watch(ctx context.Context, after int64) iter.Seq[news] {
	return func(yield func(news) bool) {
		for e := range f.Watch(ctx, after) {
			n := news{revision: e.Config.Revision}
			switch e.Kind {
			case cluster.EventPut:
				n.message = messages.ConfigPut{Document: documentOf(e.Config)}
			case cluster.EventDelete:
				n.message = messages.ConfigDeleted{Name: e.Config.Name, Revision: e.Config.Revision}
			}
			if !yield(n) {
				return
			}
		}
	}
}

func (configFeed) unavailable(reason string) any { return messages.ConfigsUnavailable{Reason: reason} }

func documentOf(stored cluster.StoredConfig) messages.Document {
	d := messages.Document{Name: stored.Name, Text: messages.Text(stored.Text), Revision: stored.Revision, Written: stored.Written, Changed: stored.Changed}
	if stored.Err != nil {
		d.Text, d.Problem = "", stored.Err.Error()
	}
	return d
}

// registryFeed is the members, claims and intents.
type registryFeed struct{ Registry }

func (registryFeed) what() string { return "members and claims" }

func (f registryFeed) list(ctx context.Context, afresh bool) (any, cluster.Point, error) {
	listed, err := f.List(ctx)
	at := cluster.Point{Revision: listed.Revision, Era: listed.Era}
	listed.Afresh = afresh
	return listed, at, err
}

func (f registryFeed) watch(ctx context.Context, after int64) iter.Seq[news] {
	return func(yield func(news) bool) {
		for change := range f.Watch(ctx, after) {
			n := news{revision: change.Revision}
			if change.Event != nil {
				n.message = change.Event
			}
			if !yield(n) {
				return
			}
		}
	}
}

func (registryFeed) unavailable(string) any { return nil }

package daemon

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/config"
)

// memoryPath is beside the tokens. There is a file for each store, prefix and node: what was so
// elsewhere is no evidence here.
func memoryPath(walDirectory, node string, s config.ScrapingService) string {
	kv := s.KVStore
	addresses := slices.Clone(kv.Etcd.Endpoints)
	for _, p := range kv.Embedded.Peers {
		addresses = append(addresses, p.URL)
	}
	slices.Sort(addresses)
	digest := fnv.New64a()
	fmt.Fprintf(digest, "%q", append(addresses, kv.Store, kv.Consul.Host, kv.Prefix, s.Lifecycler.Ring.KVStore.Prefix, node))
	return filepath.Join(filepath.Dir(ringmaster.TokensPath(walDirectory)), fmt.Sprintf("last-known-%016x.db", digest.Sum64()))
}

// openMemory opens what is kept for a start without the store, if the store is one that can be
// away. The agent works without, but not beside another agent on the same directory.
func (d *daemon) openMemory(context.Context) (func(), error) {
	if d.cluster == nil {
		return func() {}, nil
	}
	m := d.settings.agent().Metrics
	path := memoryPath(m.WALDirectory, d.cluster.Node, m.ScrapingService)
	memory, err := lastknown.Open(path)
	if errors.Is(err, lastknown.ErrInUse) {
		return nil, fmt.Errorf("%w: another agent has the same metrics.wal_directory; give each one of its own", err)
	}
	if err != nil {
		d.Logger.Warn("cannot save the last known configs; after a restart without the store, this node waits for the store", zap.Error(err))
		return func() {}, nil
	}
	if aside := memory.Aside(); aside != "" {
		d.Logger.Warn("file of the last known configs is damaged; moved it aside", zap.String("file", aside))
	}
	d.memory = memory
	_, before, err := memory.Load()
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	// Only one process at a time has the memory open, so the one whose session this was has ended.
	d.cluster.Predecessor = func() string { return before.Session }
	return func() {
		if err := memory.Close(); err != nil {
			d.Logger.Warn("file of the last known configs was not closed cleanly", zap.Error(err))
		}
	}, nil
}

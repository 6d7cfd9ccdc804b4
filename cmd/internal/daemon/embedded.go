package daemon

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/config"
)

// startTimeout bounds the start of the embedded store, which takes well under a second on a disk that works.
const startTimeout = time.Minute

// startEmbedded starts the etcd server in this process.
func startEmbedded(ctx context.Context, c config.Embedded, _ string, logger *zap.Logger) (opened, error) {
	if len(c.Peers) > 0 {
		return opened{}, errors.New("open metrics.scraping_service.kvstore: embedded.peers are not available in this version; remove them, or use another store")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	store, err := etcdstore.StartEmbedded(ctx, etcdstore.EmbeddedConfig{Dir: c.DataDirectory, Logger: logger})
	if err != nil {
		return opened{}, err
	}
	return opened{store, "embedded etcd in " + c.DataDirectory, false}, nil
}

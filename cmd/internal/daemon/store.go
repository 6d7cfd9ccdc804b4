package daemon

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/config"
)

// startTimeout bounds the start of the embedded store, which takes well under a second on a disk that works.
const startTimeout = time.Minute

// openStore opens the store that holds the configs, and says where it is.
func openStore(ctx context.Context, kv config.KVStore, logger *zap.Logger) (cluster.Store, string, error) {
	switch kv.Store {
	case config.StoreEmbedded:
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		store, err := etcdstore.StartEmbedded(ctx, etcdstore.EmbeddedConfig{Dir: kv.Embedded.DataDirectory, Logger: logger})
		if err != nil {
			return nil, "", err
		}
		return store, "embedded etcd in " + kv.Embedded.DataDirectory, nil
	case config.StoreEtcd:
		store, err := etcdstore.Dial(etcdConfig(kv.Etcd, logger))
		if err != nil {
			return nil, "", fmt.Errorf("open metrics.scraping_service.kvstore: %w", err)
		}
		return store, fmt.Sprintf("etcd at %v", kv.Etcd.Endpoints), nil
	case config.StoreInMemory:
		return memstore.New(), "memory: configs are gone when the process ends", nil
	default:
		return nil, "", fmt.Errorf("open metrics.scraping_service.kvstore: store %q is not available in this version; use %s, %s or %s",
			kv.Store, config.StoreEmbedded, config.StoreEtcd, config.StoreInMemory)
	}
}

func etcdConfig(c config.Etcd, logger *zap.Logger) etcdstore.Config {
	converted := etcdstore.Config{
		Endpoints:   c.Endpoints,
		DialTimeout: c.DialTimeout,
		MaxRetries:  uint(max(0, c.MaxRetries)),
		Username:    c.Username,
		Password:    string(c.Password),
		Logger:      logger,
	}
	if c.TLSEnabled {
		converted.TLS = &etcdstore.TLS{
			CertFile:           c.TLSCertPath,
			KeyFile:            c.TLSKeyPath,
			CAFile:             c.TLSCAPath,
			ServerName:         c.TLSServerName,
			InsecureSkipVerify: c.TLSInsecureSkipVerify,
		}
	}
	return converted
}

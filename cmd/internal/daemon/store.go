package daemon

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore"
	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/config"
)

// opened is the store that holds the configs.
type opened struct {
	// store is not embedded: what it can do beyond its interface has to stay in sight.
	store cluster.Store
	// where it is, for people.
	where string
	// shared: other agents can reach it.
	shared bool
}

// openStore opens the store that the config asks for, as the node that is called so. It does not
// wait for a store elsewhere.
//
// prefixes are those under which keys will be.
func openStore(ctx context.Context, kv config.KVStore, prefixes []string, node string, logger *zap.Logger) (opened, error) {
	switch kv.Store {
	case config.StoreEmbedded:
		return startEmbedded(ctx, kv.Embedded, node, logger)
	case config.StoreEtcd:
		store, err := etcdstore.Dial(etcdConfig(kv.Etcd, logger))
		if err != nil {
			return opened{}, fmt.Errorf("open metrics.scraping_service.kvstore: %w", err)
		}
		return opened{store, fmt.Sprintf("etcd at %v", kv.Etcd.Endpoints), true}, nil
	case config.StoreConsul:
		conf := consulConfig(kv.Consul, logger)
		conf.Prefixes = prefixes
		store, err := consulstore.Dial(conf)
		if err != nil {
			return opened{}, fmt.Errorf("open metrics.scraping_service.kvstore: %w", err)
		}
		return opened{store, "consul at " + kv.Consul.Host, true}, nil
	case config.StoreInMemory:
		return opened{memstore.New(), "memory: configs are gone when the process ends", false}, nil
	default:
		return opened{}, fmt.Errorf("open metrics.scraping_service.kvstore: there is no store %q", kv.Store)
	}
}

func consulConfig(c config.Consul, logger *zap.Logger) consulstore.Config {
	return consulstore.Config{
		Host:              c.Host,
		ACLToken:          string(c.ACLToken),
		HTTPClientTimeout: c.HTTPClientTimeout,
		ConsistentReads:   c.ConsistentReads,
		WatchRateLimit:    c.WatchRateLimit,
		WatchBurstSize:    c.WatchBurstSize,
		CASRetryDelay:     c.CASRetryDelay,
		Logger:            logger,
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

package daemon

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/config"
)

// startTimeout bounds the start of the embedded store, which takes well under a second on a disk
// that works.
const startTimeout = time.Minute

// startEmbedded starts the etcd server in this process. A single one is up in a moment; one of
// several may have to wait for the others, as long as nobody calls it off.
func startEmbedded(ctx context.Context, c config.Embedded, node string, logger *zap.Logger) (opened, error) {
	conf := etcdstore.EmbeddedConfig{Dir: c.DataDirectory, Quota: int64(c.MaxSize), Logger: logger}
	where := "embedded etcd in " + c.DataDirectory
	if len(c.Peers) == 0 {
		short, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		ctx = short
	} else {
		quorum, err := quorum(c, node)
		if err != nil {
			return opened{}, err
		}
		conf.Quorum = quorum
		where += fmt.Sprintf(", one of %d", len(c.Peers))
	}
	store, err := etcdstore.StartEmbedded(ctx, conf)
	if err != nil {
		return opened{}, err
	}
	return opened{store, where, conf.Quorum != nil}, nil
}

// quorum is the servers of several agents that form one cluster.
func quorum(c config.Embedded, node string) (*etcdstore.Quorum, error) {
	_, listen, err := c.Self(node)
	if err != nil {
		return nil, err
	}
	q := &etcdstore.Quorum{Name: node, Members: map[string]string{}, Listen: listen}
	for _, p := range c.Peers {
		q.Members[p.Name] = p.URL
	}
	if t := c.PeerTLS; t != (config.PeerTLS{}) {
		q.TLS = &etcdstore.PeerTLS{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile}
	}
	return q, nil
}

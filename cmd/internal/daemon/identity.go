package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// identityTimeout bounds the look for another node of this name, which must not hold the start
	// up while the store is away.
	identityTimeout = 3 * time.Second
	// identityDial bounds the attempt to connect to it.
	identityDial = time.Second
)

// identity is a name that this directory's node has chosen for itself, since another node has its
// host's name.
type identity struct {
	Host string `json:"host"`
	Node string `json:"node"`
}

func identityPath(walDirectory string) string {
	return filepath.Join(walDirectory, ".ring", "node.json")
}

// ownName is the node's name when the config gives none: the host's name, with a suffix if another
// living node has that name already. So it is with two pods of a Deployment on one Kubernetes node
// where HOSTNAME is set to the node's name. The suffix is kept in the WAL directory, so that a
// restart finds its logs and its place on the ring again.
func (d *daemon) ownName(ctx context.Context, get func(ctx context.Context, node string) (messages.Member, error), address, walDirectory string) string {
	path := identityPath(walDirectory)
	logger := d.Logger.With(zap.String("host", d.Hostname))
	kept, err := readIdentity(path)
	if err != nil {
		logger.Warn("the node's own name can't be read; it may choose another", zap.Error(err))
	}
	if kept.Host == d.Hostname && kept.Node != "" {
		return kept.Node
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	other, err := get(ctx, d.Hostname)
	if err != nil || other.Address == "" || other.Address == address || !answers(ctx, other.Address) {
		return d.Hostname
	}
	own := identity{Host: d.Hostname, Node: fmt.Sprintf("%s-%04x", d.Hostname, rand.IntN(1<<16))}
	if err := writeIdentity(path, own); err != nil {
		logger.Warn("the node's own name can't be kept; after a restart it has another", zap.Error(err))
	}
	logger.Warn("another node has this host's name, so this one gets a suffix; set lifecycler.id or HOSTNAME to a name of its own",
		zap.String("node", own.Node), zap.String("other", other.Address))
	return own.Node
}

// answers reports whether something takes connections at an address.
func answers(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: identityDial}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

func readIdentity(path string) (identity, error) {
	var own identity
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	if err != nil {
		return own, fmt.Errorf("read node name: %w", err)
	}
	if err := json.Unmarshal(text, &own); err != nil {
		return identity{}, fmt.Errorf("read node name: the file is damaged: %w", err)
	}
	return own, nil
}

func writeIdentity(path string, own identity) error {
	text, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("write node name: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write node name: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("write node name: %w", err)
	}
	return os.Rename(temporary, path)
}

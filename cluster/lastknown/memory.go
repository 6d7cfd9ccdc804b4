package lastknown

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// lockTimeout is how long another process may hold the file.
const lockTimeout = 2 * time.Second

var (
	bucketConfigs = []byte("configs")
	bucketNode    = []byte("node")
	keyCluster    = []byte("cluster")
)

// ErrInUse says that another process has the file open.
var ErrInUse = errors.New("another process uses the file")

// Memory is the file.
type Memory struct {
	db *bbolt.DB
	// aside is where a file went that could not be read.
	aside string
}

// Change is what became different: configs that were written, with their text as it was read, and
// names of those that are gone.
type Change struct {
	Written []messages.Document
	Gone    []string
	// Cluster replaces what was known of the cluster; nil leaves it as it is.
	Cluster *Cluster
}

// Cluster is what a node knew of its cluster.
type Cluster struct {
	// Session is what the node's claims were bound to, Incarnation the process that wrote them.
	Session, Incarnation string
	// Renewed is when the session was renewed last, by the node's clock, if the store had not
	// answered since; zero if it had: then nothing is known of what came after.
	Renewed time.Time
	Members []messages.Member
	// Claims are the node's own.
	Claims []messages.Claim
	// Revision is the store's when all this was so.
	Revision int64
}

// Open opens the file, or begins it; its directory is made. ErrInUse if another process has it open.
func Open(file string) (*Memory, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, fmt.Errorf("open last known configs: %w", err)
	}
	m := &Memory{}
	db, err := open(file)
	if err != nil && !errors.Is(err, bbolterrors.ErrTimeout) {
		m.aside = fmt.Sprintf("%s.damaged-%d", file, time.Now().UnixNano())
		if moved := os.Rename(file, m.aside); moved != nil {
			return nil, fmt.Errorf("open last known configs: %w", errors.Join(err, moved))
		}
		db, err = open(file)
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("open last known configs in %s: %w", file, ErrInUse)
	case err != nil:
		return nil, fmt.Errorf("open last known configs: %w", err)
	}
	m.db = db
	return m, nil
}

// open opens a bbolt file and reads all of it, for bbolt finds out about damage only where it
// looks, and by a panic or, in a file that was cut short, by a fault of the memory it is mapped to.
func open(file string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read %s: damaged: %v", file, r)
		}
		if err != nil && db != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	db, err = bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, err
	}
	return db, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketConfigs, bucketNode} {
			bucket, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			if err := bucket.ForEach(func(_, _ []byte) error { return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Aside is where a file went that could not be read; empty if there was none.
func (m *Memory) Aside() string { return m.aside }

// Load returns what was known, nothing if nothing was. A value that can't be read is left out.
func (m *Memory) Load() (documents []messages.Document, cluster Cluster, err error) {
	err = m.db.View(func(tx *bbolt.Tx) error {
		if value := tx.Bucket(bucketNode).Get(keyCluster); value != nil {
			cluster = decodeCluster(value)
		}
		return tx.Bucket(bucketConfigs).ForEach(func(name, value []byte) error {
			if d, ok := decodeDocument(string(name), value); ok {
				documents = append(documents, d)
			}
			return nil
		})
	})
	if err != nil {
		return nil, Cluster{}, fmt.Errorf("load last known configs: %w", err)
	}
	return documents, cluster, nil
}

// Save writes a change, and returns when it is on disk.
func (m *Memory) Save(c Change) error {
	err := m.db.Update(func(tx *bbolt.Tx) error {
		configs := tx.Bucket(bucketConfigs)
		for _, d := range c.Written {
			if err := configs.Put([]byte(d.Name), encodeDocument(d)); err != nil {
				return err
			}
		}
		for _, name := range c.Gone {
			if err := configs.Delete([]byte(name)); err != nil {
				return err
			}
		}
		if c.Cluster == nil {
			return nil
		}
		value, err := json.Marshal(encodeCluster(*c.Cluster))
		if err != nil {
			return err
		}
		return tx.Bucket(bucketNode).Put(keyCluster, value)
	})
	if err != nil {
		return fmt.Errorf("save last known configs: %w", err)
	}
	return nil
}

// Close releases the file.
func (m *Memory) Close() error {
	if err := m.db.Close(); err != nil {
		return fmt.Errorf("close last known configs: %w", err)
	}
	return nil
}

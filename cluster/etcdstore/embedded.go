package etcdstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

const (
	// lockName is the file in the directory whose lock says that an agent is using it.
	lockName = "agent.lock"
	// memberURL is the only member's address as a peer. Nothing listens there; raft needs a name
	// for it.
	memberURL = "http://127.0.0.1:2380"
	// reserve is how much of the disk must be free for a write to be taken. etcd aborts when it
	// can't allocate the next segment of its log, which has 64 MB, or grow its database.
	reserve = 96 << 20
	// databaseSlack is how much disk the database is given in advance, so that the little that is
	// written on a full disk (deletions, the ends of sessions) has a place. bbolt's file is sparse.
	databaseSlack = 16 << 20
	// wayOut is what an operator can do about damaged data.
	wayOut = "restore the directory from a backup, or move it away to start empty and upload the configs again"
	// closeTimeout is how long a server that has failed may take to close; it may hang on what failed.
	closeTimeout = 5 * time.Second
	// endTimeout is how long any other may take. Etcd itself gives requests seven seconds to end.
	endTimeout = 20 * time.Second
)

// EmbeddedConfig says how to run an etcd server in this process.
type EmbeddedConfig struct {
	// Dir holds the server's data: 128 MB that its log allocates in advance, plus the keys. It is
	// created if it doesn't exist, readable by this user only. One process can use it at a time.
	Dir string
	// Quorum, if not nil, makes the server a member of a cluster of several agents' servers. nil:
	// it is alone.
	Quorum *Quorum
	// Quota is how large the database may get, in bytes. A quarter of it is kept for what is bound
	// to sessions. 0 is DefaultQuota.
	Quota int64
	// Logger gets the store's lines and the server's warnings. nil logs nothing.
	Logger *zap.Logger

	// Below: for tests.

	// noSync gives up durability for speed.
	noSync bool
	// hasty makes a quorum elect leaders in a quarter of the time.
	hasty bool
	// upkeepEvery and keepHistory, if not 0, replace the constants.
	upkeepEvery, keepHistory time.Duration
	// listen is an address on which clients are served over the network.
	listen string
	// freeBytes replaces the question to the operating system.
	freeBytes func(dir string) (uint64, error)
}

// server is an embedded etcd server.
type server struct {
	dir    string
	roster *roster // nil if it is alone
	lock   *fileutil.LockedFile
	etcd   *embed.Etcd
	log    serverLog
	quota  int64

	upkeepEvery, keepHistory time.Duration

	freeBytes func(dir string) (uint64, error)
	// abandoned is set when the start was given up while etcd was at it.
	abandoned bool
	// failed is closed, after failure was set, when etcd has given up.
	failed   chan struct{}
	failure  error
	failOnce sync.Once
}

// StartEmbedded starts an etcd server in this process and returns a store on it once it is ready,
// in well under a second on a healthy disk. The context bounds the start only. The errors say what
// to do: the directory is used by another agent, can't be written, or its content is damaged.
//
// A member of a quorum is different. With data in its directory it doesn't wait for the other
// members: until enough of them are there, calls fail when their context is over. With an empty
// directory it waits, as long as ctx allows, for all other members of the list, because the cluster
// is about to be formed; the log says who is missing. ErrDataLost if it turns out that the cluster
// is not new.
func StartEmbedded(ctx context.Context, conf EmbeddedConfig) (*Store, error) {
	if conf.Logger == nil {
		conf.Logger = zap.NewNop()
	}
	if conf.freeBytes == nil {
		conf.freeBytes = freeBytes
	}
	where := "embedded etcd in " + conf.Dir
	srv := &server{dir: conf.Dir, freeBytes: conf.freeBytes, failed: make(chan struct{}), quota: conf.quotaOf(),
		upkeepEvery: cmp.Or(conf.upkeepEvery, upkeepEvery), keepHistory: cmp.Or(conf.keepHistory, keepHistory)}
	srv.log.failed = srv.fail
	srv.log.member = conf.Quorum != nil
	if err := srv.open(ctx, conf); err != nil {
		return nil, fmt.Errorf("start %s: %w", where, err)
	}
	client := v3client.New(srv.etcd.Server)
	s := newStore(client, where, conf.Logger)
	s.server = srv
	s.leases = adapter.LeaseServerToLeaseClient(v3rpc.NewQuotaLeaseServer(srv.etcd.Server))
	s.closeErr = func() error {
		// First the client: its requests end up in the server.
		return errors.Join(client.Close(), srv.close())
	}
	s.upkeep = newUpkeep(s)
	s.start(s.upkeep.run)
	s.start(s.awaitFailure)
	if srv.roster != nil {
		m := &monitor{store: s}
		s.start(m.runInside)
	}
	return s, nil
}

// open locks the directory and starts the server.
func (s *server) open(ctx context.Context, conf EmbeddedConfig) error {
	if conf.Dir == "" {
		return errors.New("no directory is given")
	}
	if conf.Quorum != nil {
		var err error
		if s.roster, err = conf.Quorum.check(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, fileutil.PrivateDirMode); err != nil {
		return err
	}
	if err := s.lockDir(); err != nil {
		return err
	}
	err := s.prepare(ctx, conf)
	if err != nil && !s.abandoned {
		s.lock.Close()
	}
	return err
}

// prepare does what a locked directory allows: it checks it, waits for the other members if need
// be, and starts etcd.
func (s *server) prepare(ctx context.Context, conf EmbeddedConfig) error {
	if err := s.check(); err != nil {
		return err
	}
	join := false
	if s.roster != nil {
		var err error
		if join, err = s.roster.form(ctx, conf.Dir, conf.Logger); err != nil {
			return err
		}
	}
	return s.run(ctx, s.etcdConfig(conf, join))
}

// check finds out beforehand what etcd would take badly.
func (s *server) check() error {
	if err := s.roomToWrite(); err != nil {
		return err
	}
	return checkDatabase(s.database())
}

func (s *server) database() string { return filepath.Join(s.dir, "member", "snap", "db") }

func (s *server) lockDir() error {
	path := filepath.Join(s.dir, lockName)
	lock, err := fileutil.TryLockFile(path, os.O_WRONLY|os.O_CREATE, fileutil.PrivateFileMode)
	if errors.Is(err, fileutil.ErrLocked) {
		return fmt.Errorf("another agent uses this directory (it holds the lock on %s)", path)
	}
	if err != nil {
		return err
	}
	s.lock = lock
	return nil
}

// checkDatabase opens the database as etcd will. etcd would do so in a goroutine that is lost when
// it fails.
func checkDatabase(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, fileutil.PrivateFileMode, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("the database %s is damaged or in use: %w; %s", path, err, wayOut)
	}
	return db.Close()
}

// run starts etcd and, if it is alone, waits until it is ready.
func (s *server) run(ctx context.Context, conf *embed.Config) error {
	if err := s.launch(ctx, conf); err != nil {
		return err
	}
	if err := s.checkMembers(); err != nil {
		s.etcd.Close()
		return err
	}
	if s.roster == nil {
		if err := s.awaitReady(ctx); err != nil {
			return err
		}
		s.log.serving.Store(true)
	}
	if err := preallocate(s.database()); err != nil {
		s.etcd.Close()
		return err
	}
	return nil
}

// launch starts etcd.
func (s *server) launch(ctx context.Context, conf *embed.Config) error {
	started := make(chan error, 1)
	// In a goroutine of its own, because etcd gives up by ending the goroutine that found the
	// problem (see serverLog). What it didn't think of makes it panic.
	go func() {
		defer func() {
			if p := recover(); p != nil {
				s.fail(fmt.Errorf("panic: %v", p))
			}
		}()
		etcd, err := embed.StartEtcd(conf)
		if err == nil {
			s.etcd = etcd
		}
		started <- err
	}()
	select {
	case err := <-started:
		if errors.Is(err, wal.ErrCRCMismatch) {
			return fmt.Errorf("its log is damaged: %w; %s", err, wayOut)
		}
		return err
	case <-s.failed:
		return s.gaveUp()
	case <-ctx.Done():
		// It can't be interrupted, so its end is awaited elsewhere, and nobody else may use the
		// directory until then.
		s.abandoned = true
		go func() {
			if err := <-started; err == nil {
				s.etcd.Close()
			}
			s.lock.Close()
		}()
		return ctx.Err()
	}
}

func (s *server) awaitReady(ctx context.Context) error {
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-s.failed:
		return s.gaveUp()
	case err := <-s.etcd.Err():
		s.etcd.Close()
		return err
	case <-ctx.Done():
		s.etcd.Close()
		return ctx.Err()
	}
}

func (s *server) gaveUp() error {
	return fmt.Errorf("etcd gave up, its data may be damaged: %w; %s", s.failure, wayOut)
}

func (s *server) etcdConfig(conf EmbeddedConfig, join bool) *embed.Config {
	member, _ := url.Parse(memberURL)
	c := embed.NewConfig()
	c.Name = "agent"
	c.Dir = conf.Dir
	c.ListenPeerUrls, c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil, nil
	c.AdvertisePeerUrls = []url.URL{*member}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	if conf.listen != "" {
		c.ListenClientUrls = []url.URL{{Scheme: "http", Host: conf.listen}}
		c.AdvertiseClientUrls = c.ListenClientUrls
	}
	// A lone member elects itself after one election time-out at start; nobody else's heartbeat is
	// awaited.
	c.TickMs, c.ElectionMs = 50, 250
	// What is compacted, and when, upkeep decides.
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, "0"
	c.QuotaBackendBytes = s.quota
	c.EnableGRPCGateway = false
	c.UnsafeNoFsync = conf.noSync
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(s.log.logger(conf.Logger.Named("etcd")))
	if s.roster != nil {
		s.roster.apply(c, join)
	}
	if conf.hasty {
		c.TickMs, c.ElectionMs = c.TickMs/4, c.ElectionMs/4
	}
	return c
}

// preallocate reserves disk behind the end of the database without making it longer, where the file
// system can do that.
func preallocate(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// Any other error means that it can't be done here, or not now: then a full disk is met unprepared.
	if err := fileutil.Preallocate(f, info.Size()+databaseSlack, false); errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("reserve disk for the database: %w", err)
	}
	return nil
}

// fail takes the reason for which etcd has given up. Only the first counts.
func (s *server) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		close(s.failed)
	})
}

// roomToWrite refuses to write while the disk is nearly full, because etcd would not survive it.
func (s *server) roomToWrite() error {
	free, err := s.freeBytes(s.dir)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	if free < reserve {
		return fmt.Errorf("the disk is full: %d MiB are free, a write needs %d MiB to be", free>>20, reserve>>20)
	}
	return nil
}

// roomToWrite has no opinion on other machines' disks.
func (s *Store) roomToWrite() error {
	if s.server == nil {
		return nil
	}
	return s.server.roomToWrite()
}

// awaitFailure makes the store unusable when its server has given up. The process goes on.
func (s *Store) awaitFailure() {
	select {
	case <-s.ctx.Done():
		return
	case <-s.server.failed:
	case <-s.server.etcd.Server.StopNotify():
		s.server.fail(errors.New("this member was taken out of the cluster: move its directory away, so that it joins anew"))
	}
	s.disable(fmt.Errorf("%s has stopped, restart the agent: %w", s.where, s.server.failure))
	s.logger.Error("store has stopped, restart the agent to have it back",
		zap.String("store", s.where), zap.NamedError("err", s.server.failure))
}

// close ends the server. It waits no longer than endTimeout: what etcd has acknowledged is on disk.
func (s *server) close() error {
	s.log.serving.Store(false)
	closed := make(chan struct{})
	go func() {
		s.etcd.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return s.lock.Close()
	case <-s.failed:
		// Whatever it held when it failed it holds for ever.
	case <-time.After(endTimeout):
		return errors.Join(fmt.Errorf("etcd has not ended within %s; its data is on disk", endTimeout), s.lock.Close())
	}
	select {
	case <-closed:
		return s.lock.Close()
	case <-time.After(closeTimeout):
		return errors.Join(fmt.Errorf("etcd doesn't end after it has failed: %w", s.failure), s.lock.Close())
	}
}

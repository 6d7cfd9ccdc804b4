package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// DefaultQuota is EmbeddedConfig.Quota where that is 0.
const DefaultQuota = 2 << 30

const (
	// upkeepEvery is how often the database is looked at.
	upkeepEvery = 10 * time.Second
	// keepHistory is for how long old revisions are kept: watches that were away for less go on where
	// they were. While the database grows fast, they are kept for shortHistory.
	keepHistory, shortHistory = 5 * time.Minute, 10 * time.Second
	// growth is the part of the quota by which the database may grow between two compactions, and
	// leastDefrag the least size that is worth a defragmentation, which stops the store for a moment.
	growth, leastDefrag = 16, 64 << 20
	// valuesShare and sizeShare are the parts of the quota that values without a session may fill, in
	// use and with what is free inside of the file. The rest is for what a cluster can't do without:
	// sessions, members and claims.
	valuesShare, sizeShare = 0.75, 0.9
)

// upkeep keeps the database of an embedded server small: it compacts old revisions by time and by
// bytes, gives free pages back to the disk, and takes the alarm back that etcd has raised for a lack
// of space, once there is space.
type upkeep struct {
	store  *Store
	server *server
	// turn is this member's place among all, and members how many there are: one after the other
	// defragments.
	turn, members int
	looks         int
	wake          chan struct{}
	past          []moment // oldest first
	compacted     int64    // size of the database after the last compaction

	said bool // that it is full

	mu    sync.Mutex
	state Database
	// pending and earlier are bytes that were let in and may not be in the sizes yet: etcd's database
	// writes what has come about each 100 ms. changed is when the sizes were last others than before.
	pending, earlier int64
	changed          time.Time
}

// moment is the revision that there was at a time.
type moment struct {
	at       time.Time
	revision int64
}

// Database is how the file of an embedded server is doing.
type Database struct {
	// Size is the file's, InUse what of it is in use, Quota how large it may get.
	Size, InUse, Quota int64
	// Alarm is true while etcd refuses all writes for lack of space.
	Alarm bool
	// Compactions and Defragmentations are those since the start.
	Compactions, Defragmentations int
}

// Full says why no config is taken; empty if one is.
func (d Database) Full() string {
	switch {
	case d.Alarm || float64(d.Size) > sizeShare*float64(d.Quota), float64(d.InUse) > valuesShare*float64(d.Quota):
		return fmt.Sprintf("the store is full: %d MiB are in use, and with what is free inside the file it has %d of %d MiB",
			d.InUse>>20, d.Size>>20, d.Quota>>20)
	default:
		return ""
	}
}

func newUpkeep(s *Store) *upkeep {
	u := &upkeep{store: s, server: s.server, members: 1, wake: make(chan struct{}, 1)}
	if r := s.server.roster; r != nil {
		all := append(r.others(), r.name)
		slices.Sort(all)
		u.members, u.turn = len(all), slices.Index(all, r.name)
	}
	u.state.Quota = s.server.quota
	u.measure()
	u.compacted = u.state.Size
	return u
}

func (u *upkeep) run() {
	for u.store.usable.Err() == nil {
		select {
		case <-time.After(u.server.upkeepEvery):
		case <-u.wake:
			// Somebody was refused. Not more often than this, or a client that insists keeps it busy.
			if !sleep(u.store.usable, u.server.upkeepEvery/10) {
				return
			}
		case <-u.store.usable.Done():
			return
		}
		u.look(time.Now())
	}
}

// look does what is to be done.
func (u *upkeep) look(now time.Time) {
	ctx, cancel := context.WithTimeout(u.store.usable, time.Minute)
	defer cancel()
	etcd := u.server.etcd.Server
	u.looks++
	u.past = append(u.past, moment{now, etcd.KV().Rev()})
	u.measure()
	if u.server.roster == nil || etcd.Leader() == etcd.MemberID() {
		u.compact(ctx, now)
	}
	if u.looks%u.members == u.turn {
		u.defragment()
	}
	u.disarm(ctx)
	u.report()
}

// measure takes the sizes of the file.
func (u *upkeep) measure() {
	backend := u.server.etcd.Server.Backend()
	u.mu.Lock()
	defer u.mu.Unlock()
	size, inUse := backend.Size(), backend.SizeInUse()
	switch now := time.Now(); {
	case size != u.state.Size || inUse != u.state.InUse:
		u.pending, u.earlier, u.changed = 0, u.pending, now
	case now.Sub(u.changed) > time.Second:
		u.pending, u.earlier = 0, 0
	}
	u.state.Size, u.state.InUse = size, inUse
}

// now is the newest state. Any goroutine may call it.
func (u *upkeep) now() Database {
	u.measure()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state
}

func (u *upkeep) count(what *int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	*what++
}

// compact forgets old revisions.
func (u *upkeep) compact(ctx context.Context, now time.Time) {
	keep := u.server.keepHistory
	d := u.now()
	if d.Size-u.compacted > d.Quota/growth || d.Full() != "" {
		keep = min(keep, shortHistory, u.server.upkeepEvery)
	}
	until := int64(0)
	for len(u.past) > 0 && now.Sub(u.past[0].at) >= keep {
		until, u.past = u.past[0].revision, u.past[1:]
	}
	if until <= 1 {
		return
	}
	_, err := u.store.client.Compact(ctx, until, clientv3.WithCompactPhysical())
	switch {
	case errors.Is(err, rpctypes.ErrCompacted): // nothing was written since
	case err != nil:
		u.store.logger.Debug("old revisions were not compacted; it is tried again", zap.Error(err))
	default:
		u.count(&u.state.Compactions)
		u.measure()
		u.compacted = u.now().Size
	}
}

// defragment gives free pages back if there are many.
func (u *upkeep) defragment() {
	d := u.now()
	tight := float64(d.Size) > 0.7*float64(d.Quota) && d.InUse < d.Size*8/10
	if wasteful := d.Size > min(leastDefrag, d.Quota/4) && d.InUse < d.Size/2; !wasteful && !tight {
		return
	}
	if free, err := u.server.freeBytes(u.server.dir); err != nil || free < reserve+uint64(max(d.InUse, 0)) {
		return // the new file is written beside the old one
	}
	began := time.Now()
	if err := u.server.etcd.Server.Defragment(); err != nil {
		u.store.logger.Warn("database of the store was not defragmented", zap.Error(err))
		return
	}
	if err := preallocate(u.server.database()); err != nil {
		u.store.logger.Debug("no disk was reserved for the store's database", zap.Error(err))
	}
	u.count(&u.state.Defragmentations)
	u.measure()
	u.compacted = u.now().Size
	u.store.logger.Info("database of the store was defragmented", zap.Int64("bytes_before", d.Size),
		zap.Int64("bytes_after", u.compacted), zap.Duration("duration", time.Since(began)))
}

// disarm takes this member's alarm back once there is space.
func (u *upkeep) disarm(ctx context.Context) {
	member := uint64(u.server.etcd.Server.MemberID())
	alarms, err := u.store.client.AlarmList(ctx)
	if err != nil {
		return
	}
	raised := false
	for _, a := range alarms.Alarms {
		if a.Alarm != pb.AlarmType_NOSPACE {
			continue
		}
		raised = true
		if d := u.now(); a.MemberID != member || float64(d.Size) > sizeShare*float64(d.Quota) {
			continue
		}
		if _, err := u.store.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: member, Alarm: pb.AlarmType_NOSPACE}); err == nil {
			raised = false
			u.store.logger.Info("store has space again; it takes writes")
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Alarm = raised
}

// report says once that the store is full, and once that it is not any more.
func (u *upkeep) report() {
	full := u.now().Full()
	if (full != "") == u.said {
		return
	}
	if u.said = full != ""; u.said {
		u.store.logger.Warn("store takes no configs", zap.String("reason", full))
		return
	}
	u.store.logger.Info("store takes configs again")
}

// roomFor refuses a value of n bytes while the store is full.
func (u *upkeep) roomFor(n int) error {
	d := u.now()
	u.mu.Lock()
	coming := int64(n) + u.pending + u.earlier
	d.InUse += coming
	d.Size += coming
	full := d.Full()
	if full == "" {
		u.pending += int64(n)
	}
	u.mu.Unlock()
	if full == "" {
		return nil
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
	return &cluster.FullError{Reason: full}
}

// roomForValue refuses a value that is bound to no session while an embedded store is full.
func (s *Store) roomForValue(req cluster.PutRequest) error {
	if s.upkeep == nil || req.Session != nil {
		return nil
	}
	return s.upkeep.roomFor(len(req.Value))
}

// Database describes the file of an embedded server; ok is false if the store is elsewhere. Any
// goroutine may call it.
func (s *Store) Database() (d Database, ok bool) {
	if s.upkeep == nil {
		return d, false
	}
	return s.upkeep.now(), true
}

// quotaOf is the quota that a config asks for.
func (conf *EmbeddedConfig) quotaOf() int64 {
	if conf.Quota <= 0 {
		return DefaultQuota
	}
	return min(conf.Quota, math.MaxInt64/2)
}

package ringmaster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// defaultTokens is how many places on the ring a node has; the daemon's default.
const defaultTokens = 128

// What New fails with, beside what is wrong with its options.
var (
	// ErrDirectory says that the directory can't be used.
	ErrDirectory = errors.New("directory can't be used")
	// ErrGossip says that gossip can't be started.
	ErrGossip = errors.New("gossip can't be started")
)

// openDirectory makes the directory this process' own.
func (s *Supervisor) openDirectory() error {
	if s.options.Pipeline.WALDirectory == "" {
		s.options.Pipeline.WALDirectory = s.options.Directory
	}
	directory := s.options.Pipeline.WALDirectory
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("%w: create %s: %w; choose one that may be written to", ErrDirectory, directory, err)
	}
	disown, err := wal.Own(directory)
	switch {
	case errors.Is(err, wal.ErrLocked):
		return fmt.Errorf("%w: use %s: %w; each agent needs a directory of its own", ErrDirectory, directory, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC):
		// It may become writable. Until then each instance says why it does not run.
		s.options.Logger.Warn("directory can't be written, so no instance runs until it can", zap.String("directory", directory), zap.Error(err))
		return nil
	case err != nil:
		return fmt.Errorf("%w: use %s: %w", ErrDirectory, directory, err)
	}
	s.closers = append(s.closers, disown)
	return nil
}

// joinCluster fills in what the node's part in the cluster is made of.
func (s *Supervisor) joinCluster() error {
	if s.options.Cluster == nil {
		return nil
	}
	c := *s.options.Cluster
	o := s.options
	if c.Node == "" {
		c.Node = o.Node
	}
	if c.Version == "" {
		c.Version = o.Version
	}
	if c.Registry == nil {
		c.Registry = cluster.NewRegistry(o.Store, o.RegistryPrefix)
	}
	if c.Sessions == nil {
		c.Sessions = o.Store
	}
	if c.Settings == "" {
		c.Settings = Agreement(o.ConfigsPrefix, max(c.Replicas, 1), c.ZoneAware)
	}
	if len(c.Tokens) == 0 {
		c.Tokens = OwnTokens(TokensPath(o.Directory), c.Node, defaultTokens, o.Logger)
	}
	s.sessions = &sessions{keep: c.KeepClaims, logger: o.Logger}
	c.Sessions = s.sessions.around(c.Sessions)
	s.closers = append(s.closers, s.sessions.end)
	s.cluster = &c
	return nil
}

// Agreement is what all nodes of a cluster have to have in common, for people to compare. Where it
// differs, nodes would run other units than others think.
func Agreement(configsPrefix string, replicas int, zoneAware bool) string {
	return fmt.Sprintf("configs=%s replicas=%d zones=%t", configsPrefix, replicas, zoneAware)
}

// ScheduleSeed is the same on all nodes that share configs, and another one where the prefix is:
// two clusters that scrape the same targets spread out.
func ScheduleSeed(configsPrefix string) uint64 { return uint64(ring.Key(configsPrefix)) }

// TokensPath is where a node keeps its places on the ring, beside its logs. No log has this name.
func TokensPath(directory string) string { return filepath.Join(directory, ".ring", "tokens.json") }

// openGossip begins to gossip. What the others hear of this node has to be true until nothing of it
// runs, so that ends after the actors.
func (s *Supervisor) openGossip() error {
	if s.cluster == nil || s.options.Gossip == nil {
		return nil
	}
	o := *s.options.Gossip
	if o.Node == "" {
		o.Node = s.cluster.Node
	}
	if o.BindAddress == "" {
		o.BindAddress = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = s.options.Logger.Named("gossip")
	}
	if o.Registerer == nil {
		o.Registerer = s.metrics.registerer()
	}
	if o.Fate == nil {
		o.Fate = around.Gossip(s.options.Faults)
	}
	g, err := gossip.Start(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGossip, err)
	}
	s.cluster.Gossip = peers{g}
	s.options.Logger.Info("gossiping", zap.String("node", s.cluster.Node), zap.String("address", g.Address()), zap.Bool("encrypted", o.Key != nil))
	s.closers = append(s.closers, func() { s.closeGossip(g) })
	return nil
}

// leaveTimeout bounds how long it may take to tell the peers that this node goes.
const leaveTimeout = 2 * time.Second

func (s *Supervisor) closeGossip(g *gossip.Gossip) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	left := g.Leave(ctx)
	if alone := !slices.ContainsFunc(g.Peers(), func(p gossip.Peer) bool { return p.Alive }); alone {
		left = nil // nobody is there to hear it
	}
	if err := errors.Join(left, g.Close()); err != nil {
		s.options.Logger.Warn("gossip did not end in order; others may take this node for dead", zap.Error(err))
	}
}

// peers is the gossip as the actors see it.
type peers struct{ *gossip.Gossip }

var _ actors.Gossip = peers{}

// SetStatus implements actors.Gossip.
func (p peers) SetStatus(s actors.PeerStatus) { p.Gossip.SetStatus(gossip.Status(s)) }

// Peers implements actors.Gossip.
func (p peers) Peers() []actors.Peer { return present(p.Gossip.Peers()) }

// present are the peers that count. One that has left in order does not: it is not dead, and it has
// ended its session itself, or keeps it because it will be back. But if its last word was that it
// has given the session up, it could not reach the store, and others may end it.
func present(all []gossip.Peer) []actors.Peer {
	out := make([]actors.Peer, 0, len(all))
	for _, p := range all {
		if !p.Left || p.Status.Fenced {
			out = append(out, actors.Peer{Node: p.Node, Alive: p.Alive, Assured: p.Assured, Answered: p.Answered, ClockAhead: p.ClockAhead, Status: actors.PeerStatus(p.Status)})
		}
	}
	return out
}

func (s *Supervisor) openPipelines() error {
	o := s.options.Pipeline
	if o.Logger == nil {
		o.Logger = s.options.Logger.Named("instance")
	}
	if o.Registerer == nil {
		o.Registerer = s.metrics.registerer()
	}
	if o.Faults == nil {
		o.Faults = s.options.Faults
	}
	if o.Seed == 0 {
		o.Seed = ScheduleSeed(s.options.ConfigsPrefix)
	}
	factory, err := pipeline.NewFactory(o)
	if err != nil {
		return err
	}
	s.factory = factory
	s.closers = append(s.closers, factory.Close)
	return nil
}

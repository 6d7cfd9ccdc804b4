package daemon

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func namedDaemon(t *testing.T) (*daemon, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	return &daemon{Options: Options{Hostname: "node-7", Logger: &logging.Logger{Logger: zap.New(core)}}}, logs
}

func TestASecondNodeOfAHostGetsASuffixAndKeepsIt(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = first.Close() }()
	registered := func(address string) func(context.Context, string) (messages.Member, error) {
		return func(_ context.Context, node string) (messages.Member, error) {
			if address == "" {
				return messages.Member{}, cluster.ErrNotFound
			}
			return messages.Member{Node: node, Address: address}, nil
		}
	}
	const own = "127.0.0.1:9"
	d, logs := namedDaemon(t)
	dir := t.TempDir()
	require.Equal(t, "node-7", d.ownName(t.Context(), registered(""), own, dir), "nobody has the name")
	require.Equal(t, "node-7", d.ownName(t.Context(), registered(own), own, dir), "it is this node's own record")
	require.Equal(t, "node-7", d.ownName(t.Context(), registered("127.0.0.1:1"), own, dir), "who has the name does not answer")
	require.Empty(t, logs.All())

	name := d.ownName(t.Context(), registered(first.Addr().String()), own, dir)
	require.Regexp(t, `^node-7-[0-9a-f]{4}$`, name)
	require.Equal(t, 1, logs.FilterMessageSnippet("another node has this host's name").Len())
	require.Equal(t, name, d.ownName(t.Context(), registered(""), own, dir), "a restart keeps it")
	require.Equal(t, 1, logs.Len(), "and says it once")

	d.Hostname = "node-8"
	require.Equal(t, "node-8", d.ownName(t.Context(), registered(""), own, dir), "a directory that has moved to another host")
	require.NoError(t, os.WriteFile(identityPath(dir), []byte("{"), 0o600))
	require.Equal(t, "node-8", d.ownName(t.Context(), registered(""), own, dir))
	require.Equal(t, 1, logs.FilterMessageSnippet("can't be read").Len())
	require.FileExists(t, filepath.Join(dir, ".ring", "node.json"))
}

func TestALivingGrafanaAgentOnTheStoreIsToldUntilItIsGone(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	now := time.Unix(1_700_000_000, 0)
	members := []cluster.Predecessor{
		{Name: "dead", Address: "a", Heartbeat: now.Add(-time.Hour)}, {Name: "left", Address: "b", Heartbeat: now, Left: true},
		{Name: "lives", Address: "10.0.0.3:12346", Heartbeat: now.Add(-10 * time.Second)},
	}
	var fault error
	p := &predecessors{logger: zap.New(core), list: func(context.Context) ([]cluster.Predecessor, error) { return members, fault }}
	p.look(t.Context(), now)
	p.look(t.Context(), now)
	require.Len(t, p.living(), 1)
	require.Equal(t, 1, logs.FilterMessageSnippet("every config is scraped twice").Len(), "once")
	d := &daemon{}
	d.predecessors.Store(p)
	require.Equal(t, []string{"Grafana Agent runs on the same store, so every config is scraped twice. Stop it on: lives (10.0.0.3:12346)"}, d.warnings())

	fault = context.DeadlineExceeded
	p.look(t.Context(), now)
	require.Len(t, p.living(), 1, "a store that is away says nothing")
	fault = nil
	p.look(t.Context(), now.Add(time.Hour))
	require.Empty(t, d.warnings())
	require.Equal(t, 1, logs.FilterMessageSnippet("no Grafana Agent uses the store any more").Len())
	require.Empty(t, (&daemon{}).warnings())
}

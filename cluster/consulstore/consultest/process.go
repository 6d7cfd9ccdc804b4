package consultest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

// Process is a real Consul: a server of its own in development mode, on loopback. Use StartProcess.
type Process struct {
	binary, dir string
	ports       [3]int // HTTP, Serf, RPC
	args        []string

	mu  sync.Mutex
	cmd *exec.Cmd
}

// ManagementToken may do everything on a Process that was started with ACLs and with this as its
// initial_management token. One without ACLs ignores it.
const ManagementToken = "management"

// startPatience is how long a real Consul may take until it can be written to.
const startPatience = 30 * time.Second

// StartProcess runs a Consul binary, and returns when it can be written to. Its log goes to a file
// in dir. args are added to its command line.
func StartProcess(ctx context.Context, binary, dir string, args ...string) (*Process, error) {
	p := &Process{binary: binary, dir: dir, args: args}
	for i := range p.ports {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p.ports[i] = port
	}
	return p, p.Start(ctx)
}

// Address is host:port.
func (p *Process) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ports[0])) }

// Start runs it again after Stop, at the same address and with nothing of what it had: in
// development mode Consul keeps all in memory.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(p.dir, "consul.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.binary, append([]string{
		"agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-http-port", strconv.Itoa(p.ports[0]), "-dns-port", "-1",
		"-grpc-port", "-1", "-grpc-tls-port", "-1", "-serf-wan-port", "-1", "-serf-lan-port", strconv.Itoa(p.ports[1]),
		"-server-port", strconv.Itoa(p.ports[2]), "-log-level", "warn",
	}, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	return p.await(ctx)
}

// await returns when the server is the leader, and its own node is in the catalog.
func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	client, err := p.client()
	if err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if nodes, _, err := client.Catalog().Nodes((&api.QueryOptions{}).WithContext(ctx)); err == nil && len(nodes) > 0 {
			if _, err = client.KV().Put(&api.KVPair{Key: "ready"}, (&api.WriteOptions{}).WithContext(ctx)); err == nil {
				return p.Empty(ctx)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("start %s: it can't be written to; see %s/consul.log", p.binary, p.dir)
		}
	}
}

// Empty deletes all keys and sessions.
func (p *Process) Empty(ctx context.Context) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	if _, err := client.KV().DeleteTree("", (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		return err
	}
	sessions, _, err := client.Session().List((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if _, err := client.Session().Destroy(s.ID, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// Stop kills it.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *Process) client() (*api.Client, error) {
	transport := api.DefaultConfig().Transport
	transport.DisableKeepAlives = true
	return api.NewClient(&api.Config{Address: p.Address(), Transport: transport, Token: ManagementToken})
}

func freePort() (int, error) {
	address, err := loopback.FreeAddress()
	if err != nil {
		return 0, err
	}
	listen, err := netip.ParseAddrPort(address)
	return int(listen.Port()), err
}

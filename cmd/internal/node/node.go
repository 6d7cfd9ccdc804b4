package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// stackPatience is how long a process may take to write its stacks.
const stackPatience = 5 * time.Second

// Node is an agent with a name, a directory and an address that it keeps over restarts.
type Node struct {
	Settings

	command   []string
	directory string
	address   string
	client    *http.Client

	current atomic.Pointer[process]
}

// process is one life of a node.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	exited  chan struct{}
	err     error // once exited
}

// New prepares a node whose command is given without the agent's flags. The directory is made; what
// is in it is kept.
func New(s Settings, directory, address string, command ...string) (*Node, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of node %s: %w", s.Name, err)
	}
	return &Node{Settings: s, command: command, directory: directory, address: address, client: newClient(s)}, nil
}

// Start starts the process. It is an error if one is running. Whether the agent comes up, Ready tells.
func (n *Node) Start() error {
	if n.Running() {
		return fmt.Errorf("start node %s: it is running", n.Name)
	}
	if err := n.start(); err != nil {
		return fmt.Errorf("start node %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) start() error {
	config := filepath.Join(n.directory, "agent.yaml")
	if err := os.WriteFile(config, []byte(n.yaml(n.directory)), 0o600); err != nil {
		return err
	}
	output, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	args := append(n.command[1:len(n.command):len(n.command)], "-config.file="+config, "-server.http.address="+n.address, "-server.graceful-shutdown-timeout=15s")
	args = append(args, n.Args...)
	p := &process{command: exec.Command(n.command[0], args...), exited: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = output, output
	p.command.SysProcAttr = ownGroup()
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return errors.Join(err, p.stdin.Close())
	}
	n.current.Store(p)
	go func() {
		p.err = p.command.Wait()
		close(p.exited)
	}()
	return nil
}

// RunAs has the processes from now on run another program. It is an error if one is running.
func (n *Node) RunAs(command ...string) error {
	if n.Running() {
		return fmt.Errorf("change the program of node %s: it is running", n.Name)
	}
	n.command = command
	return nil
}

// Running reports whether there is a process.
func (n *Node) Running() bool {
	p := n.current.Load()
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// PID is that of the process, 0 if none was started yet.
func (n *Node) PID() int {
	if p := n.current.Load(); p != nil {
		return p.command.Process.Pid
	}
	return 0
}

// WALDirectory is where the node's logs are.
func (n *Node) WALDirectory() string { return filepath.Join(n.directory, "wal") }

// LogFile is where the output of all its processes is.
func (n *Node) LogFile() string { return filepath.Join(n.directory, "agent.log") }

// Signal sends a signal, if there is a process.
func (n *Node) Signal(s os.Signal) error {
	if !n.Running() {
		return nil
	}
	if err := n.current.Load().command.Process.Signal(s); err != nil {
		return fmt.Errorf("signal node %s: %w", n.Name, err)
	}
	return nil
}

// Stop asks the process to end in order, and waits for it. When ctx is over, the process has to
// write its stacks into its log and is killed, which is an error, as is a failure of the agent.
func (n *Node) Stop(ctx context.Context) error {
	if !n.Running() {
		return nil
	}
	if err := n.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	p := n.current.Load()
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = n.Signal(syscall.SIGQUIT)
		select {
		case <-p.exited:
		case <-time.After(stackPatience):
		}
		n.Kill()
		return fmt.Errorf("stop node %s: %w", n.Name, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("stop node %s: %w", n.Name, p.err)
	}
	return nil
}

// Kill is kill -9, and waits for the end. It is all right if there is no process.
func (n *Node) Kill() {
	if p := n.current.Load(); p != nil {
		_ = p.command.Process.Kill()
		<-p.exited
	}
	n.client.CloseIdleConnections()
}

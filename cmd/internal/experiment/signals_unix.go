//go:build unix

package experiment

import (
	"syscall"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

func pause(n *node.Node) error  { return n.Signal(syscall.SIGSTOP) }
func resume(n *node.Node) error { return n.Signal(syscall.SIGCONT) }

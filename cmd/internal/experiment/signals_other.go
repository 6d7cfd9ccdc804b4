//go:build !unix

package experiment

import (
	"errors"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

func pause(*node.Node) error  { return errors.New("this system can't pause a process") }
func resume(*node.Node) error { return nil }

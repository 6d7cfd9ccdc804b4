// Package loopback finds addresses of this machine for programs that are told where to listen: the
// agents of demos and tests, and the servers beside them. Several processes may do so at once. Any
// goroutine may use it.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports below those that systems give to outgoing connections, by default from 32768 (Linux) and
// 49152 (others). They are given away in blocks.
const (
	lowest    = 15000
	blockSize = 50
	blocks    = 340
)

// own is the block that this process gives from at present.
var own block

// block is ports that no other process gives away as long as this one lives: it listens on the
// first, and answers nobody there.
type block struct {
	mu sync.Mutex
	// claims keep the blocks of this process. next is the port to be given next; 0 if all are given.
	claims []net.Listener
	next   int
}

// FreeAddress returns an address on which nobody listens now, with a port that no connection is
// given by itself, and never the same twice: so that it is still free when the program begins to
// listen, and when it is started again.
func FreeAddress() (string, error) {
	own.mu.Lock()
	defer own.mu.Unlock()
	for range blockSize * blocks {
		if err := own.claim(); err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		address := addressOf(own.next)
		if own.next++; (own.next-lowest)%blockSize == 0 {
			own.next = 0
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		return address, nil
	}
	return "", errors.New("find a free port: all are taken")
}

// claim takes another block, if there is nothing left of the one before.
func (b *block) claim() error {
	if b.next != 0 {
		return nil
	}
	for _, n := range rand.Perm(blocks) {
		first := lowest + n*blockSize
		if listener, err := net.Listen("tcp", addressOf(first)); err == nil {
			b.claims, b.next = append(b.claims, listener), first+1
			return nil
		}
	}
	return errors.New("other processes have them all")
}

func addressOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Package loopback finds addresses of this machine for programs that are told where to listen: the
// agents of demos and tests, and the servers beside them. It never listens for anybody. Any
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
// 49152 (others).
const (
	lowest  = 15000
	highest = 32000
)

// given are the ports that were given away in this process.
var given sync.Map

// FreeAddress returns an address on which nobody listens now, with a port that no connection is
// given by itself, and never the same twice: so that it is still free when the program begins to
// listen.
func FreeAddress() (string, error) {
	for range 1000 {
		port := lowest + rand.IntN(highest-lowest)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		return address, nil
	}
	return "", errors.New("find a free port: 1000 attempts found none")
}

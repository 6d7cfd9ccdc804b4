package remotewrite

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// captured keeps the uncompressed bodies of requests.
type captured struct {
	to     http.RoundTripper
	mu     sync.Mutex
	bodies [][]byte
}

func (c *captured) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	plain, err := s2.Decode(nil, body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.bodies = append(c.bodies, plain)
	c.mu.Unlock()
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return c.to.RoundTrip(copied)
}

func TestACommonRequestOf1IsTheOwnRequestsOneAfterAnother(t *testing.T) {
	virtually(t, func(t *testing.T) {
		together, alone := &captured{}, &captured{}
		for _, c := range []*captured{together, alone} {
			f := newFleet(t, 0)
			c.to = served{f.r}
			f.connect(c)
			for range 10 {
				f.add(1)
				if c == alone {
					f.connect(c)
				}
			}
			f.scrape(0, 10)
			f.after(10 * time.Second)
			f.close()
		}
		require.Len(t, together.bodies, 1)
		require.Len(t, alone.bodies, 10)
		size := 0
		for _, own := range alone.bodies {
			require.True(t, bytes.Contains(together.bodies[0], own))
			size += len(own)
		}
		require.Len(t, together.bodies[0], size)
	})
}

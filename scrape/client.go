package scrape

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	config_util "github.com/prometheus/common/config"
)

// dialerName is what the metrics of Prometheus' dialer call all connections to targets.
const dialerName = "scrape"

// clientKey is a digest of everything that makes two HTTP clients different, secrets included.
type clientKey [sha256.Size]byte

// client is an HTTP client that scrapers share while anybody uses it. Requests through it share no
// state but idle connections, which are kept by address.
type client struct {
	*http.Client
	shared *Shared
	key    clientKey
	users  int // guarded by shared.mu
}

// clientOptions are about clients and come from the scraper or the target.
type clientOptions struct {
	disableKeepAlives bool
	idleTimeout       time.Duration // 0: Prometheus' default
	socket            string        // path of the unix socket to dial, whatever the URL says
}

// client returns the client for a configuration. Release it.
func (s *Shared) client(config config_util.HTTPClientConfig, o clientOptions) (*client, error) {
	key := keyOf(config, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[key]
	if c == nil {
		made, err := config_util.NewClientFromConfig(config, dialerName, s.dialOptions(o)...)
		if err != nil {
			return nil, err
		}
		c = &client{Client: made, shared: s, key: key}
		s.clients[key] = c
	}
	c.users++
	return c, nil
}

// retain adds a user to a client that has one.
func (c *client) retain() {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	c.users++
}

// release takes a user away. With the last one idle connections are closed.
func (c *client) release() {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	if c.users--; c.users == 0 {
		delete(c.shared.clients, c.key)
		c.CloseIdleConnections()
	}
}

func (s *Shared) dialOptions(o clientOptions) []config_util.HTTPClientOption {
	var options []config_util.HTTPClientOption
	if o.disableKeepAlives {
		options = append(options, config_util.WithKeepAlivesDisabled())
	}
	if o.idleTimeout > 0 {
		options = append(options, config_util.WithIdleConnTimeout(o.idleTimeout))
	}
	switch {
	case o.socket != "":
		options = append(options, config_util.WithDialContextFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", o.socket)
		}))
	case s.dial != nil:
		options = append(options, config_util.WithDialContextFunc(s.dial))
	}
	return options
}

func keyOf(config config_util.HTTPClientConfig, o clientOptions) (key clientKey) {
	h := sha256.New()
	digest(h, reflect.ValueOf(config))
	fmt.Fprintf(h, "%v %d %q", o.disableKeepAlives, o.idleTimeout, o.socket)
	h.Sum(key[:0])
	return key
}

// digest writes a value so that different values give different bytes. Unexported fields are left
// out: in the configuration they hold what was derived from the others. Marshalling would hide
// secrets.
func digest(h hash.Hash, v reflect.Value) {
	if u, ok := v.Interface().(*url.URL); ok && u != nil {
		_, _ = fmt.Fprintf(h, "%q", u.String())
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			_, _ = io.WriteString(h, "nil;")
			return
		}
		digest(h, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				digest(h, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		_, _ = fmt.Fprintf(h, "%d:", v.Len())
		for i := range v.Len() {
			digest(h, v.Index(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		_, _ = fmt.Fprintf(h, "%d:", len(keys))
		for _, k := range keys {
			_, _ = fmt.Fprintf(h, "%q", k.String())
			digest(h, v.MapIndex(k))
		}
	case reflect.String:
		_, _ = fmt.Fprintf(h, "%q", v.String())
	default:
		_, _ = fmt.Fprintf(h, "%v;", v.Interface())
	}
}

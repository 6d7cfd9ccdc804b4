package web

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// uploadWindow is over which time the uploads of a client are averaged.
	uploadWindow = time.Minute
	// maxUploaders is how many clients are remembered.
	maxUploaders = 4096
)

// UploadLimits are what one client may upload. The zero value of a field is no limit.
type UploadLimits struct {
	// PerSecond and BytesPerSecond are averages over a minute.
	PerSecond, BytesPerSecond uint64
}

// uploads counts what each client uploads. A client is an IP address, of version 6 a /64.
type uploads struct {
	limits func() UploadLimits
	now    func() time.Time

	mu      sync.Mutex
	clients map[netip.Prefix]*uploader
}

// uploader is what a client may still upload; below 0 once it has uploaded more.
type uploader struct {
	count, bytes float64
	at           time.Time
}

func newUploads(limits func() UploadLimits, now func() time.Time) *uploads {
	if limits == nil {
		limits = func() UploadLimits { return UploadLimits{} }
	}
	return &uploads{limits: limits, now: now, clients: map[netip.Prefix]*uploader{}}
}

func clientOf(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	if address = address.Unmap(); address.Is4() {
		bits = 32
	}
	prefix, _ := address.WithZone("").Prefix(bits)
	return prefix
}

// admit says how long a client has to wait before its next upload; 0: it may go on.
func (u *uploads) admit(client netip.Prefix) (wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	limits := u.limits()
	c := u.client(client, limits)
	for _, b := range []struct{ left, rate float64 }{{c.count, float64(limits.PerSecond)}, {c.bytes, float64(limits.BytesPerSecond)}} {
		if b.rate > 0 && b.left <= 0 {
			wait = max(wait, time.Duration(math.Ceil((1-b.left)/b.rate))*time.Second)
		}
	}
	if wait == 0 {
		c.count--
	}
	return wait
}

// spend counts the bytes of an upload.
func (u *uploads) spend(client netip.Prefix, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.client(client, u.limits()).bytes -= float64(bytes)
}

// client needs mu.
func (u *uploads) client(of netip.Prefix, l UploadLimits) *uploader {
	now, window := u.now(), uploadWindow.Seconds()
	most := uploader{count: float64(l.PerSecond) * window, bytes: float64(l.BytesPerSecond) * window, at: now}
	c := u.clients[of]
	if c == nil {
		u.makeRoom(now)
		c = &most
		u.clients[of] = c
	}
	passed := now.Sub(c.at).Seconds()
	c.count = min(c.count+float64(l.PerSecond)*passed, most.count)
	c.bytes = min(c.bytes+float64(l.BytesPerSecond)*passed, most.bytes)
	c.at = now
	return c
}

// makeRoom forgets clients that have uploaded nothing for a while, or all if there are still too
// many. It needs mu.
func (u *uploads) makeRoom(now time.Time) {
	if len(u.clients) < maxUploaders {
		return
	}
	for of, c := range u.clients {
		if now.Sub(c.at) > uploadWindow {
			delete(u.clients, of)
		}
	}
	if len(u.clients) >= maxUploaders {
		clear(u.clients)
	}
}

// mayUpload answers a client that has to wait; ok is false then.
func (s *Server) mayUpload(w http.ResponseWriter, r *http.Request) (ok bool) {
	wait := s.uploads.admit(clientOf(r))
	if wait == 0 {
		return true
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	because(w, refusedRate)
	failAPI(w, http.StatusTooManyRequests, problem{Error: "this client uploads too much; see metrics.scraping_service.uploads_per_second and upload_bytes_per_second"})
	return false
}

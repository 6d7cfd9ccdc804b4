package scrape

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// headerKey is what the header of a request depends on.
type headerKey struct {
	accept, encoding, agent string
	timeout                 time.Duration
}

// requestHeader is the header of the requests to many targets. It is shared and must not be changed.
type requestHeader struct {
	key headerKey
	http.Header
	// lines are what net/http writes of it: all that follows the lines with the URL and the host.
	lines []byte
}

func newRequestHeader(key headerKey) *requestHeader {
	h := http.Header{
		"Accept":                              {key.accept},
		"Accept-Encoding":                     {key.encoding},
		"User-Agent":                          {key.agent},
		"X-Prometheus-Scrape-Timeout-Seconds": {strconv.FormatFloat(key.timeout.Seconds(), 'f', -1, 64)},
	}
	var written bytes.Buffer
	_ = scrapeRequest(&url.URL{Scheme: "http", Host: "target", Path: "/"}, h).Write(&written) // a buffer takes it
	_, lines := cutHead(written.Bytes())
	return &requestHeader{key: key, Header: h, lines: bytes.Clone(lines)}
}

// scrapeRequest is the request of a scrape.
func scrapeRequest(u *url.URL, header http.Header) *http.Request {
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Header: header, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// cutHead divides a written request behind its second line, which names the host.
func cutHead(written []byte) (head, lines []byte) {
	end := 0
	for range 2 {
		end += bytes.IndexByte(written[end:], '\n') + 1
	}
	return written[:end], written[end:]
}

// maxRequestHeaders bounds how many are remembered: users and targets choose timeouts.
const maxRequestHeaders = 256

// requestHeaders are those in use. The zero value is empty.
type requestHeaders struct {
	mu    sync.Mutex
	byKey map[headerKey]*requestHeader
}

func (s *requestHeaders) get(key headerKey) *requestHeader {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byKey[key]
	if h == nil {
		if s.byKey == nil || len(s.byKey) >= maxRequestHeaders {
			s.byKey = map[headerKey]*requestHeader{}
		}
		h = newRequestHeader(key)
		s.byKey[key] = h
	}
	return h
}

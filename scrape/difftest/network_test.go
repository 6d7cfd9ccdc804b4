package difftest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// answer is what a target does with a request. The zero value is an empty body with status 200.
type answer struct {
	status  int
	header  []string // "Name: value"
	body    []byte
	raw     []byte        // if set, all that is sent, status line and headers included
	length  int           // added to the Content-Length that is announced
	refuse  bool          // the connection is refused
	wait    time.Duration // before anything is sent
	hang    bool          // nothing is sent after raw, or at all; the client has to give up
	drip    time.Duration // between bytes of the body
	hangUp  bool          // the connection is closed afterwards
	perPath map[string]answer
}

func (a answer) bytes() []byte {
	if a.raw != nil {
		return a.raw
	}
	var b bytes.Buffer
	status := cmp.Or(a.status, http.StatusOK)
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for _, h := range a.header {
		b.WriteString(h)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(a.body)+a.length)
	b.Write(a.body)
	return b.Bytes()
}

// network is the targets of a scenario, reached over pipes. The same address can have another
// answer in each interval.
type network struct {
	mu       sync.Mutex
	answers  map[string]answer // by host:port; "" is every other
	busy     int               // requests that are being answered
	touched  map[int64]bool    // milliseconds at which a target was dialled or asked: times of scrapes
	events   int               // dials and requests
	requests map[string][]string
	open     map[net.Conn]struct{}
	serving  sync.WaitGroup
}

func newNetwork() *network {
	return &network{touched: map[int64]bool{}, requests: map[string][]string{}, open: map[net.Conn]struct{}{}}
}

func (n *network) set(answers map[string]answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers = answers
}

func (n *network) answer(address string) answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.answers[address]; ok {
		return a
	}
	return n.answers[""]
}

// touch notes that something happened now.
func (n *network) touch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.touched[time.Now().UnixMilli()] = true
	n.events++
}

func (n *network) isTouch(t int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.touched[t]
}

func (n *network) inFlight() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.busy
}

func (n *network) work(more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.busy += more
}

func (n *network) note(address, request string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests[address] = append(n.requests[address], request)
}

// dial is a net.Dialer.DialContext.
func (n *network) dial(_ context.Context, kind, address string) (net.Conn, error) {
	n.touch()
	if n.answer(address).refuse {
		return nil, &net.OpError{Op: "dial", Net: kind, Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	n.mu.Lock()
	n.open[server] = struct{}{}
	n.mu.Unlock()
	n.serving.Go(func() { n.serve(server, address) })
	return client, nil
}

// close ends all connections and waits for their servers.
func (n *network) close() {
	n.mu.Lock()
	open := n.open
	n.open = map[net.Conn]struct{}{}
	n.mu.Unlock()
	for c := range open {
		c.Close()
	}
	n.serving.Wait()
}

func (n *network) serve(conn net.Conn, address string) {
	defer func() {
		conn.Close()
		n.mu.Lock()
		delete(n.open, conn)
		n.mu.Unlock()
	}()
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		n.work(1)
		n.touch()
		body, _ := io.ReadAll(request.Body)
		n.note(address, describe(request, body))
		err = n.reply(conn, reader, request, address)
		n.work(-1)
		if err != nil {
			return
		}
	}
}

// reply returns an error if the connection can't be used any more.
func (n *network) reply(conn net.Conn, reader io.Reader, request *http.Request, address string) error {
	a := n.answer(address)
	if special, ok := a.perPath[request.URL.Path]; ok {
		a = special
	}
	if a.wait > 0 {
		<-time.After(a.wait)
	}
	content := a.bytes()
	if a.hang && a.raw == nil {
		content = nil
	}
	step := len(content)
	if a.drip > 0 {
		step = 1
	}
	for len(content) > 0 {
		if _, err := conn.Write(content[:step]); err != nil {
			return err
		}
		content = content[step:]
		if a.drip > 0 {
			<-time.After(a.drip)
		}
	}
	if a.hang {
		_, err := io.Copy(io.Discard, reader)
		return cmp.Or(err, io.EOF)
	}
	if a.hangUp {
		return io.EOF
	}
	return nil
}

// describe writes a request with its headers in the order of their names.
func describe(r *http.Request, body []byte) string {
	var headers []string
	for name, values := range r.Header {
		headers = append(headers, fmt.Sprintf("%s: %s", name, strings.Join(values, " | ")))
	}
	slices.Sort(headers)
	return fmt.Sprintf("%s %s %s %s\n    %s\n    %q", r.Method, r.Host, r.RequestURI, r.Proto, strings.Join(headers, "\n    "), body)
}

// activity counts dials and requests.
func (n *network) activity() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.events
}

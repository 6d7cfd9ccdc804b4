package web_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

// stream is a browser that reads whatever comes.
type stream struct {
	header http.Header

	mu      sync.Mutex
	status  int
	body    strings.Builder
	flushed int
}

func (s *stream) Header() http.Header { return s.header }

func (s *stream) WriteHeader(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body.Write(p)
}

func (s *stream) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = s.body.Len()
}

// events are the data of what has been flushed.
func (s *stream) events() (events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range strings.Split(s.body.String()[:s.flushed], "\n\n") {
		if strings.HasPrefix(event, "data: ") {
			events = append(events, strings.ReplaceAll(strings.TrimPrefix(event, "data: "), "\ndata: ", "\n"))
		}
	}
	return events
}

// changing is an instance that gets worse when it is told to.
type changing struct {
	fakeInstances
	worse  atomic.Bool
	reason string
}

func (c *changing) Instances(context.Context, string) ([]web.Instance, error) {
	phase := "running"
	if c.worse.Load() {
		phase = "failed"
	}
	return []web.Instance{{Name: "one", Phase: phase, LastError: c.reason}}, nil
}

func TestAPageThatIsFollowedIsSentWhenItIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		instances := &changing{}
		s := web.New(web.Options{Node: "a", Instances: instances, Now: clock})
		ctx, cancel := context.WithCancel(t.Context())
		browser := &stream{header: http.Header{}}
		var ended atomic.Bool
		go func() {
			s.ServeHTTP(browser, httptest.NewRequestWithContext(ctx, "GET", "/live?of="+url.QueryEscape("/configs?q=one"), nil))
			ended.Store(true)
		}()
		synctest.Wait()
		require.Equal(t, "text/event-stream", browser.header.Get("Content-Type"))
		require.Empty(t, browser.events(), "who follows has just loaded the page")
		<-time.After(6 * time.Second)
		synctest.Wait()
		require.Len(t, browser.events(), 1)
		require.Contains(t, browser.events()[0], `<span class="state well">running</span>`)
		require.NotContains(t, browser.events()[0], "<html", "only what lives")
		require.NotContains(t, browser.events()[0], "<h1")
		<-time.After(time.Minute)
		synctest.Wait()
		require.Len(t, browser.events(), 1, "nothing is another")
		instances.worse.Store(true)
		<-time.After(6 * time.Second)
		synctest.Wait()
		require.Len(t, browser.events(), 2)
		require.Contains(t, browser.events()[1], "failed")
		require.False(t, ended.Load())
		cancel()
		synctest.Wait()
		require.True(t, ended.Load(), "it ends with the page")
	})
}

func TestATextOnAPageWritesNoFieldsOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		browser := &stream{header: http.Header{}}
		s := web.New(web.Options{Node: "a", Instances: &changing{reason: "first\revent: second\r\nretry: third\r\r"}, Now: clock})
		go s.ServeHTTP(browser, httptest.NewRequestWithContext(ctx, "GET", "/live?of=/configs", nil))
		<-time.After(6 * time.Second)
		synctest.Wait()
		require.Len(t, browser.events(), 1)
		require.Contains(t, browser.events()[0], "third")
		for _, line := range strings.FieldsFunc(browser.body.String(), func(r rune) bool { return r == '\r' || r == '\n' }) {
			require.Regexp(t, "^(data: |:$|data:$)", line)
		}
		cancel()
		synctest.Wait()
	})
}

// piped is a listener whose connections stay in the process, so that synctest knows when all wait.
type piped chan net.Conn

func (p piped) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p piped) Close() error   { return nil }
func (p piped) Addr() net.Addr { return &net.TCPAddr{} }

func TestAPageIsFollowedOverHTTP2ForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var both http.Protocols
		both.SetUnencryptedHTTP2(true)
		instances, listener := &changing{}, make(piped)
		server := web.NewHTTPServer(web.New(web.Options{Node: "a", Instances: instances, Now: clock}))
		server.Protocols = &both
		go func() { _ = server.Serve(listener) }()
		transport := &http.Transport{Protocols: &both, DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			listener <- theirs
			return ours, nil
		}}
		defer synctest.Wait()
		defer transport.CloseIdleConnections()
		defer server.Close()
		defer close(listener)
		began := time.Now()
		response, err := (&http.Client{Transport: transport}).Get("http://a/live?of=/configs")
		require.NoError(t, err)
		require.Equal(t, 2, response.ProtoMajor)
		lines := bufio.NewReader(response.Body)
		until := func(text string) {
			for {
				line, err := lines.ReadString('\n')
				require.NoError(t, err, text)
				if strings.Contains(line, text) {
					return
				}
			}
		}
		until(`<span class="state well">running`)
		<-time.After(5 * time.Minute) // longer than any deadline, and nothing is written
		instances.worse.Store(true)
		until("failed")
		_, err = io.Copy(io.Discard, lines)
		require.NoError(t, err, "the end is no failure")
		require.Equal(t, 10*time.Minute, time.Since(began), "a browser that connects again shows its credentials again")
	})
}

func TestPagesThatAreFollowedAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := web.New(web.Options{Node: "a", Now: clock})
		ctx, cancel := context.WithCancel(t.Context())
		for range 32 {
			go s.ServeHTTP(&stream{header: http.Header{}}, httptest.NewRequestWithContext(ctx, "GET", "/live?of=/", nil))
		}
		synctest.Wait()
		r := call(t, s, "GET", "/live?of=/", "")
		require.Equal(t, 429, r.StatusCode)
		require.NotEmpty(t, r.Header.Get("Retry-After"))
		cancel()
		synctest.Wait()
		again, end := context.WithCancel(t.Context())
		browser := &stream{header: http.Header{}}
		go s.ServeHTTP(browser, httptest.NewRequestWithContext(again, "GET", "/live?of=/", nil))
		synctest.Wait()
		require.Equal(t, "text/event-stream", browser.header.Get("Content-Type"), "places are given back")
		end()
		synctest.Wait()
	})
}

func TestOnlyPagesCanBeFollowedAndOnlyFromHere(t *testing.T) {
	s := web.New(web.Options{Node: "a", Now: clock})
	for of, status := range map[string]int{"": 400, "http://evil.example/": 400, "//evil.example/": 404, "configs": 400, "/-/reload": 404, "/metrics": 404, "/live?of=/": 404, "/upload": 404, "/agent/api/v1/configs": 404} {
		require.Equal(t, status, call(t, s, "GET", "/live?of="+url.QueryEscape(of), "").StatusCode, of)
	}
	require.Equal(t, 405, call(t, s, "HEAD", "/live?of=/", "").StatusCode)
	require.Equal(t, 403, call(t, s, "GET", "/live?of=/", "", "Sec-Fetch-Site", "cross-site").StatusCode)
	page := bodyOf(t, call(t, s, "GET", "/configs?q=x", ""))
	require.Contains(t, page, `<div data-live="/live" data-path="/configs">`)
	require.Contains(t, bodyOf(t, call(t, s, "GET", "/relabel", "")), `<div data-live="" data-path="">`, "what a person writes stays")
}

func TestAServerThatIsShutDownDoesNotWaitForPagesThatAreFollowed(t *testing.T) {
	server := httptest.NewUnstartedServer(web.New(web.Options{Node: "a", Now: clock}))
	server.Start()
	defer server.Close()
	response, err := http.Get(server.URL + "/live?of=/")
	require.NoError(t, err)
	defer response.Body.Close()
	first, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, ":\n", first, "the connection stands")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, server.Config.Shutdown(ctx))
	require.NoError(t, ctx.Err())
}

package browsertest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// startBrowser starts a browser that ends with the test. The context is what tabs are opened in.
func startBrowser(t *testing.T, path string) context.Context {
	t.Helper()
	profile := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.Env("HOME="+profile, "TMPDIR="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closing, stop := context.WithTimeout(browser, patience)
		defer stop()
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("the browser was killed, as it did not close: %v", err)
		}
		cancel()
		release()
		endLeftovers(t, profile)
	})
	require.NoError(t, chromedp.Do(browser), "start the browser")
	return browser
}

// endLeftovers waits for the browser's children, of which each names the profile on its command
// line, and kills those that stay.
func endLeftovers(t *testing.T, profile string) {
	t.Helper()
	deadline := time.Now().Add(leftoverPatience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for pids := processesOf(profile); len(pids) > 0; pids = processesOf(profile) {
		if time.Now().After(deadline) {
			t.Errorf("the browser leaves processes behind: %v", pids)
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
		<-tick.C
	}
}

func processesOf(profile string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(profile)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// tab is a page in the browser, with no cookies, history or cache of others, and with all that the
// browser says of it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	requests   []string // URLs since the last visit
	clicks     int      // since the last visit of an address
	complaints []string // of the console and the network, since the last visit
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	b.ctx = ctx
	require.NoError(t, chromedp.Do(ctx), "open a tab")
	return b
}

// hear is called by the browser's reader.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, args ...any) { b.complaints = append(b.complaints, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *network.EventLoadingFailed:
		if e.Canceled { // the page that is left follows no more
			return
		}
		complain("a request failed: %s %s", e.ErrorText, e.BlockedReason)
	case *runtime.EventExceptionThrown:
		complain("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		complain("console: %s", e.Type)
	case *log.EventEntryAdded:
		complain("log: %s: %s", e.Entry.Level, e.Entry.Text)
	}
}

// visit types a URL into the address bar. What comes has to be a whole page without a complaint,
// and loads nothing but its own style and script.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.clicks = 0
	b.arrive(url, chromedp.Navigate(url))
}

// click follows the first link, or presses the first button, that is called so.
func (b *tab) click(name string) {
	b.t.Helper()
	b.clicks++
	b.arrive("", chromedp.Click(fmt.Sprintf("(//main//a[normalize-space()=%[1]q] | //nav//a[normalize-space()=%[1]q] | //main//button[normalize-space()=%[1]q])[1]", name)))
}

// arrive takes a step that loads a page: the one at url, or any if that is empty.
func (b *tab) arrive(url string, step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.mu.Lock()
	b.requests, b.complaints = nil, nil
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, step)
	require.NoError(b.t, err, "load %s", url)
	require.EqualValues(b.t, http.StatusOK, response.Status, response.URL)
	if url != "" {
		require.Equal(b.t, url, response.URL)
	}
	// What the browser said before this answer has been heard after it.
	require.Equal(b.t, "complete", ask[string](b, "document.readyState"))
	b.mu.Lock()
	defer b.mu.Unlock()
	pages := slices.DeleteFunc(slices.Clone(b.requests), func(request string) bool {
		return strings.Contains(request, "/assets/") || strings.Contains(request, "/live?of=") || strings.HasPrefix(request, "data:")
	})
	pages = slices.DeleteFunc(pages, func(request string) bool { return request != response.URL && b.posted(request) })
	require.Equal(b.t, []string{response.URL}, slices.Compact(pages), "a page loads its own style and script, and nothing else")
	require.Empty(b.t, b.complaints, url)
}

// posted says whether a request is that of a button, which is answered with where to look.
func (b *tab) posted(request string) bool { return strings.Contains(request, "/configs/") }

// do has the browser do something to the page.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// ask evaluates JavaScript in the page.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return answer
}

func contextOf(b *tab) (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

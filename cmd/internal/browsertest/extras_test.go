package browsertest

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func clickOn(selector string) chromedp.Action[chromedp.Void] { return chromedp.Click(selector) }

// searchesWhileOneTypes: the script narrows the list while one types, keeps the address in step,
// and lets values follow.
func (s *site) searchesWhileOneTypes(t *testing.T) {
	b := openTab(t, s.browser)
	b.visit(s.nodes[0].URL() + "/configs")
	ask[bool](b, `document.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`)
	require.Equal(t, "q", ask[string](b, "document.activeElement.name"), "a slash leads to the search")
	b.do(chromedp.SendKeys("input[type=search]", "dropp"))
	eventually(t, func() bool { return len(rowsOf(b, 0)) == 1 }, time.Now().Add(patience), "typing never narrows the list")
	require.Equal(t, "dropping", rowsOf(b, 0)[0][0])
	require.Equal(t, "?q=dropp", ask[string](b, "location.search"), "the address brings the same list")
	require.Equal(t, "Following", textOf(b, "#live"))
	ask[bool](b, `window.EventSource = class { static CLOSED = 2; constructor() { window.stream = this } close() {} }, dispatchEvent(new Event("pageshow"))`)
	ask[bool](b, "stream.onerror() ?? true")
	require.Equal(t, "Not connected", textOf(b, "#live"))
	ask[bool](b, "stream.onopen() ?? true")
	require.Equal(t, "Following", textOf(b, "#live"))
}

// contentWidths are those that screenshots are taken at.
var contentWidths = []int64{1400, phoneWidth}

// takeScreenshots writes a picture of each page, for people to look at.
func (s *site) takeScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no -screenshots directory is given; task screenshots does it")
	}
	require.NoError(t, os.MkdirAll(*screenshots, 0o755))
	b := openTab(t, s.browser)
	for _, width := range contentWidths {
		b.do(chromedp.EmulateViewport(width, 900))
		for _, scheme := range []string{"light", "dark"} {
			b.do(emulateColours(scheme))
			for _, path := range pagePaths() {
				b.visit(s.nodes[0].URL() + path)
				ctx, cancel := contextOf(b)
				picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				cancel()
				require.NoError(t, err)
				name := strings.NewReplacer("/", "_", "?", "_", "=", "_").Replace(strings.Trim(path, "/"))
				if name == "" {
					name = "overview"
				}
				file := filepath.Join(*screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
				require.NoError(t, os.WriteFile(file, picture, 0o644))
			}
		}
	}
}

//go:embed testdata/accessible.js
var accessibleScript string

// pagesAreAccessible holds each page against the rules of testdata/accessible.js, which are those
// of axe-core that such pages can break.
func (s *site) pagesAreAccessible(t *testing.T) {
	b := openTab(t, s.browser)
	for _, width := range contentWidths {
		b.do(chromedp.EmulateViewport(width, 900))
		for _, path := range pagePaths() {
			b.visit(s.nodes[0].URL() + path)
			require.Empty(t, ask[[]string](b, accessibleScript), path)
		}
	}
}

// holdAgainstAxe holds each page against axe-core, if there is one.
func (s *site) holdAgainstAxe(t *testing.T) {
	if *axePath == "" {
		t.Skip("no -axe is given; task axe does it")
	}
	axe, err := os.ReadFile(*axePath)
	require.NoError(t, err)
	b := openTab(t, s.browser)
	// Each width and each scheme once: what axe finds of colours does not depend on the width.
	for scheme, width := range map[string]int64{"light": contentWidths[0], "dark": phoneWidth} {
		b.do(chromedp.EmulateViewport(width, 900))
		b.do(emulateColours(scheme))
		for _, path := range pagePaths() {
			b.visit(s.nodes[0].URL() + path)
			ask[bool](b, string(axe)+"\n;window.found = null; axe.run().then(r => { window.passed = r.passes.length; window.found = r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 150))) }); true")
			eventually(t, func() bool { return ask[bool](b, "window.found !== null") }, time.Now().Add(patience), "axe never ends on %s", path)
			require.Positive(t, ask[int](b, "window.passed"), "axe looked at %s", path)
			require.Empty(t, ask[[]string](b, "window.found"), "%s, %d px, %s", path, width, scheme)
		}
	}
}

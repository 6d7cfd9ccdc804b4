package browsertest

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

const (
	// readable is the contrast that WCAG 2.1 asks of text at level AA.
	readable = 4.5
	// phoneWidth and phoneHeight are those of a common small phone, in CSS pixels.
	phoneWidth, phoneHeight = 360, 740
)

// Names as users give them, and worse.
const (
	markup = "<b>x&y</b>"
	short  = "short-lived"
)

var long = "team/" + strings.Repeat("a-long-name-", 12)

// pagePaths are the agent's pages, of which some are about a config or a target.
func pagePaths() []string {
	return []string{
		"/", "/configs", "/configs?state=down", "/configs/" + url.PathEscape("both"), "/configs/" + url.PathEscape(stuck), "/configs/" + held, "/targets", "/receivers", "/cluster", "/cluster?leave=agent-1",
		"/discovery", "/discovery?config=dropping", "/relabel", "/status", "/flow", "/flow?config=both", "/flow?config=" + stuck, "/upload", "/upload?name=both",
	}
}

// site is a cluster that is looked at.
type site struct {
	nodes   []*node.Node
	browser context.Context
	configs map[string]shown
	toys    string
}

// shown is what a row of the list of configs says.
type shown struct{ State, Up, Down string }

func TestPagesAsAPersonSeesThem(t *testing.T) {
	chromium := findChromium(t)
	toys, nowhere := serveToys(t), freeAddress(t)
	s := &site{nodes: startCluster(t, toys), browser: startBrowser(t, chromium), toys: toys}
	s.configs = map[string]shown{
		"both":     {"down", "2", "1"},
		"down":     {"down", "0", "1"},
		"dropping": {"running", "1", "0"},
		"refused":  {"refused", "1", "0"},
		stuck:      {"quarantined", "0", "0"},
		markup:     {"running", "1", "0"},
		long:       {"running", "1", "0"},
		short:      {"running", "1", "0"},
		held:       {"held", "0", "0"},
	}
	s.blockLogs(t, stuck)
	for name, text := range map[string]string{
		"both":     configOf(toys, strings.Replace(toys, "127.0.0.1", "localhost", 1), nowhere),
		"down":     configOf(nowhere),
		"dropping": configOf(toys, "db.invalid:9104") + "  relabel_configs:\n  - {source_labels: [__address__], regex: 'db\\..*', action: drop}\n",
		"refused":  configOf(toys) + fmt.Sprintf("remote_write:\n- {name: sunday, url: 'http://%s/refuse', queue_config: {batch_send_deadline: 500ms}}\n", toys),
		stuck:      configOf(toys),
		markup:     configOf(toys),
		long:       configOf(toys),
		short:      configOf(toys),
		held:       configOf(toys),
	} {
		require.NoError(t, s.nodes[0].Put(t.Context(), name, text))
	}
	eventually(t, func() bool { // a node that has not heard of the config yet refuses to hold it
		_, err := s.nodes[1].Ask(t.Context(), http.MethodPost, "/agent/api/v1/config/"+held+"/hold", `{"reason": "its receiver is moved", "by": "anna"}`)
		return err == nil
	}, time.Now().Add(patience), "the config is never held")
	require.ErrorContains(t, s.nodes[0].Put(t.Context(), "invalid", "scrape_configs: 7\n"), "400")

	t.Run("every node lists each config once, with its targets", s.everyNodeListsEachConfigOnce)
	t.Run("the cluster page shows each member", s.clusterPageShowsEachMember)
	t.Run("each link leads somewhere", s.eachLinkLeadsSomewhere)
	t.Run("no page scrolls sideways on a phone", s.noPageScrollsSideways)
	t.Run("all texts are readable by day and by night", s.allTextsAreReadable)
	t.Run("pages are accessible", s.pagesAreAccessible)
	t.Run("axe-core has nothing to say", s.holdAgainstAxe)
	t.Run("a page searches while one types and follows what happens", s.searchesWhileOneTypes)
	t.Run("screenshots", s.takeScreenshots)
	t.Run("on call", s.onCall)
	t.Run("a config that is deleted disappears", s.aDeletedConfigDisappears)
}

// held is a config that a person has stopped.
const held = "held"

// stuck is a config whose log can't be opened.
const stuck = "stuck"

// blockLogs puts a file where the log of a config would be, on each node.
func (s *site) blockLogs(t *testing.T, config string) {
	t.Helper()
	for _, n := range s.nodes {
		require.NoError(t, os.MkdirAll(n.WALDirectory(), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(n.WALDirectory(), config), []byte("in the way"), 0o600))
	}
}

func (s *site) everyNodeListsEachConfigOnce(t *testing.T) {
	b := openTab(t, s.browser)
	for _, n := range s.nodes {
		s.awaitConfigs(t, b, n)
		require.Equal(t, "Configs – "+n.Name+" – Ringmaster", ask[string](b, "document.title"))
		require.Equal(t, "Configs", textOf(b, "h1"))
		require.Equal(t, fmt.Sprintf("%d configs", len(s.configs)), textOf(b, "caption"))
		rows := rowsOf(b, 0)
		require.Equal(t, "running", rows[len(rows)-1][1], "what is worst is first")
		require.Zero(t, ask[int](b, `document.querySelectorAll("main b").length`), "a name is text")
	}
}

// troubled are the states that a config goes through which fails on one node after the other.
var troubled = []string{"failed", "waiting", "preparing", "unowned", "quarantined"}

// awaitConfigs waits until a node lists each config in one row, and as it is.
func (s *site) awaitConfigs(t *testing.T, b *tab, n *node.Node) {
	t.Helper()
	var found map[string]shown
	defer func() {
		if t.Failed() {
			t.Logf("%s shows %v", n.Name, found)
		}
	}()
	deadline := time.Now().Add(patience)
	eventually(t, func() bool {
		b.visit(n.URL() + "/configs")
		rows := rowsOf(b, 0)
		found = map[string]shown{}
		for _, cells := range rows {
			found[cells[0]] = shown{cells[1], cells[3], cells[4]}
		}
		// It fails on one node after the other until all have it in quarantine.
		if wanted := s.configs[stuck]; wanted.State == "quarantined" && slices.Contains(troubled, found[stuck].State) {
			found[stuck] = wanted
		}
		return len(rows) == len(s.configs) && maps.Equal(found, s.configs)
	}, deadline, "the node never lists the configs as they are")
}

func (s *site) clusterPageShowsEachMember(t *testing.T) {
	b := openTab(t, s.browser)
	for _, n := range s.nodes {
		eventually(t, func() bool {
			b.visit(n.URL() + "/cluster")
			return strings.Contains(textOf(b, "main"), fmt.Sprintf("%d configs, %d units: ", len(s.configs), len(s.configs))) &&
				strings.Contains(textOf(b, "main"), "1 refused, 2 down, ") && strings.Contains(textOf(b, "main"), "4 running.") &&
				strings.Contains(textOf(b, "main"), "The ring has settled. This node may scrape.")
		}, time.Now().Add(patience), "the cluster page of %s never shows a cluster that is well", n.Name)
		rows := rowsOf(b, 0)
		require.Len(t, rows, len(s.nodes))
		for i, other := range s.nodes {
			require.Equal(t, []string{other.Name, "ACTIVE"}, rows[i][:2])
			require.Contains(t, rows[i][3], strings.TrimPrefix(other.URL(), "http://"))
		}
		require.Contains(t, textOf(b, "main"), markup, "who came to run it is told, and its name is text")
		require.Zero(t, ask[int](b, `document.querySelectorAll("main b").length`), "a name is text")
		require.Equal(t, len(s.nodes), ask[int](b, `document.querySelectorAll("svg.ring circle").length`))
	}
}

func (s *site) eachLinkLeadsSomewhere(t *testing.T) {
	b, n := openTab(t, s.browser), s.nodes[0]
	seen := map[string]bool{}
	for _, page := range pagePaths() {
		b.visit(n.URL() + page)
		for _, link := range ask[[]string](b, `[...document.links].map(a => a.href)`) {
			path, own := strings.CutPrefix(link, n.URL())
			if isNode := slices.ContainsFunc(s.nodes, func(n *node.Node) bool { return link == n.URL()+"/" }); isNode && !own {
				continue
			}
			require.True(t, own, "%s is another origin", link)
			if path, _, _ = strings.Cut(path, "#"); seen[path] {
				continue
			}
			seen[path] = true
			_, err := n.Get(t.Context(), path)
			require.NoError(t, err, "from %s", page)
		}
	}
	require.True(t, seen["/metrics"])
	require.True(t, seen["/-/support"])
}

// brokenWords are the words of a table's headings and buttons that don't fit on a line.
const brokenWords = `[...document.querySelectorAll("th[scope=col], button")].map(e => e.firstChild?.firstChild ?? e.firstChild).filter(n => n?.nodeType === 3).flatMap(text =>
	[...text.data.matchAll(/\S+/g)].filter(word => {
		const range = document.createRange()
		range.setStart(text, word.index)
		range.setEnd(text, word.index + word[0].length)
		return new Set([...range.getClientRects()].map(r => r.top)).size > 1
	}).map(word => word[0]))`

func (s *site) noPageScrollsSideways(t *testing.T) {
	b := openTab(t, s.browser)
	b.do(chromedp.EmulateViewport(phoneWidth, phoneHeight, chromedp.EmulateMobile, chromedp.EmulatePortrait))
	for _, n := range s.nodes {
		for _, path := range pagePaths() {
			b.visit(n.URL() + path)
			// A page that is too wide would make a phone zoom out, so the window counts as well.
			require.Equal(t, phoneWidth, ask[int](b, "innerWidth"), path)
			require.LessOrEqual(t, ask[int](b, "document.documentElement.scrollWidth"), phoneWidth, path)
			require.Empty(t, ask[[]string](b, brokenWords), "words of headings and buttons that take more than one line on %s", path)
		}
	}
}

//go:embed testdata/contrast.js
var contrastScript string

// contrasts is what contrast.js answers.
type contrasts struct {
	Background float64
	Texts      []struct {
		Text     string
		Wrong    bool
		Contrast float64
	}
}

func (s *site) allTextsAreReadable(t *testing.T) {
	b := openTab(t, s.browser)
	for scheme, luminance := range map[string]struct{ least, most float64 }{"light": {0.8, 1}, "dark": {0, 0.1}} {
		b.do(emulateColours(scheme))
		wrong := 0
		for _, n := range s.nodes {
			for _, path := range pagePaths() {
				b.visit(n.URL() + path)
				page := ask[contrasts](b, contrastScript)
				require.GreaterOrEqual(t, page.Background, luminance.least, "%s, %s", path, scheme)
				require.LessOrEqual(t, page.Background, luminance.most, "%s, %s", path, scheme)
				require.NotEmpty(t, page.Texts, path)
				for _, text := range page.Texts {
					require.GreaterOrEqual(t, text.Contrast, readable, "%q on %s, %s", text.Text, path, scheme)
					if text.Wrong {
						wrong++
					}
				}
			}
		}
		require.Positive(t, wrong, "targets that are down are marked")
	}
}

func emulateColours(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

func (s *site) aDeletedConfigDisappears(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.nodes[1].URL()+"/agent/api/v1/config/"+short, nil)
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	delete(s.configs, short)
	b := openTab(t, s.browser)
	for _, n := range s.nodes {
		s.awaitConfigs(t, b, n)
	}
}

// textOf is the text of the first element that a selector finds, "" if there is none, as in a page
// that is being loaded.
func textOf(b *tab, selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(ask[string](b, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ""`, selector))), " ")
}

// rowsOf are the texts of the body of the page's table numbered so.
func rowsOf(b *tab, table int) [][]string {
	b.t.Helper()
	return ask[[][]string](b, fmt.Sprintf(`[...(document.querySelectorAll("main table")[%d]?.tBodies[0].rows ?? [])].map(r => [...r.cells].map(c => c.textContent.trim()))`, table))
}

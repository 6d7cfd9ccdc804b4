package browsertest

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// pagePaths are the pages that the agent makes itself.
var pagePaths = []string{"/", "/debug/cluster", "/debug/ring"}

// site is a cluster that is looked at.
type site struct {
	nodes   []*node.Node
	browser context.Context
	configs map[string]shown
}

// shown is what a row of the front page says of a config.
type shown struct{ Phase, Up, Down, Unknown string }

func TestPagesAsAPersonSeesThem(t *testing.T) {
	chromium := findChromium(t)
	toys, nowhere := serveToys(t), freeAddress(t)
	s := &site{nodes: startCluster(t, toys), browser: startBrowser(t, chromium)}
	s.configs = map[string]shown{
		"both": {"running", "2", "1", "0"},
		"down": {"running", "0", "1", "0"},
		markup: {"running", "1", "0", "0"},
		long:   {"running", "1", "0", "0"},
		short:  {"running", "1", "0", "0"},
	}
	for name, text := range map[string]string{
		"both": configOf(toys, strings.Replace(toys, "127.0.0.1", "localhost", 1), nowhere),
		"down": configOf(nowhere),
		markup: configOf(toys),
		long:   configOf(toys),
		short:  configOf(toys),
	} {
		require.NoError(t, s.nodes[0].Put(t.Context(), name, text))
	}
	require.ErrorContains(t, s.nodes[0].Put(t.Context(), "invalid", "scrape_configs: 7\n"), "400")

	t.Run("the front pages show each config once, with its targets", s.frontPagesShowEachConfigOnce)
	t.Run("the cluster and ring pages show each member", s.clusterPagesShowEachMember)
	t.Run("each link leads somewhere, and back", s.eachLinkLeadsSomewhere)
	t.Run("no page scrolls sideways on a phone", s.noPageScrollsSideways)
	t.Run("all texts are readable by day and by night", s.allTextsAreReadable)
	t.Run("a config that is deleted disappears", s.aDeletedConfigDisappears)
}

func (s *site) frontPagesShowEachConfigOnce(t *testing.T) {
	b := openTab(t, s.browser)
	s.awaitConfigs(t, b)
	for _, n := range s.nodes {
		b.visit(n.URL() + "/")
		require.Equal(t, n.Name+" – Ringmaster", ask[string](b, "document.title"))
		require.Equal(t, "Ringmaster on "+n.Name, textOf(b, "h1"))
		require.Contains(t, textOf(b, "header"), "Ready.")
		require.Equal(t, sumOf(t, frontRows(b)), textOf(b, "caption"))
		require.Zero(t, ask[int](b, `document.querySelectorAll("b").length`), "a name is text")
	}
}

// awaitConfigs waits until the nodes' front pages together show each config in one row, and as it is.
func (s *site) awaitConfigs(t *testing.T, b *tab) {
	t.Helper()
	var found map[string]shown
	defer func() {
		if t.Failed() {
			t.Logf("the front pages show %v", found)
		}
	}()
	eventually(t, func() bool {
		found = map[string]shown{}
		rows := 0
		for _, n := range s.nodes {
			b.visit(n.URL() + "/")
			of := frontRows(b)
			maps.Copy(found, of)
			rows += len(of)
		}
		return rows == len(s.configs) && maps.Equal(found, s.configs)
	}, "the front pages never show the configs as they are")
}

func frontRows(b *tab) map[string]shown {
	rows := map[string]shown{}
	for _, cells := range rowsOf(b, 0) {
		if len(cells) > 5 {
			rows[cells[0]] = shown{cells[1], cells[2], cells[3], cells[4]}
		}
	}
	return rows
}

// sumOf is the caption above the rows.
func sumOf(t *testing.T, rows map[string]shown) string {
	t.Helper()
	var up, down, unknown int
	for _, row := range rows {
		up += number(t, row.Up)
		down += number(t, row.Down)
		unknown += number(t, row.Unknown)
	}
	return fmt.Sprintf("Instances on this node: %d. Targets: %d up, %d down, %d not scraped yet.", len(rows), up, down, unknown)
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

func (s *site) clusterPagesShowEachMember(t *testing.T) {
	b := openTab(t, s.browser)
	for _, n := range s.nodes {
		eventually(t, func() bool {
			b.visit(n.URL() + "/debug/cluster")
			return strings.Contains(textOf(b, "header"), fmt.Sprintf("Configs: %d. Units: %d. Run by nobody: 0. The ring has settled. This node may scrape.", len(s.configs), len(s.configs)))
		}, "the cluster page of %s never shows a cluster that is well", n.Name)
		require.Equal(t, "Cluster – Ringmaster", ask[string](b, "document.title"))
		require.Equal(t, "Cluster as "+n.Name+" sees it", textOf(b, "h1"))
		s.requireEachMember(t, rowsOf(b, 0), 3)
		moved := map[string]bool{}
		for _, move := range rowsOf(b, 2) {
			moved[move[1]] = true
		}
		require.Contains(t, moved, markup, "who came to run it is told, and its name is text")
		require.Zero(t, ask[int](b, `document.querySelectorAll("b").length`), "a name is text")

		b.visit(n.URL() + "/debug/ring")
		require.Equal(t, "Ring – Ringmaster", ask[string](b, "document.title"))
		require.Equal(t, "Ring", textOf(b, "h1"))
		s.requireEachMember(t, rowsOf(b, 0), 2)
	}
}

// requireEachMember holds a table of members against the nodes; the address is in the column numbered so.
func (s *site) requireEachMember(t *testing.T, rows [][]string, address int) {
	t.Helper()
	require.Len(t, rows, len(s.nodes))
	for i, n := range s.nodes {
		require.Equal(t, []string{n.Name, "ACTIVE"}, rows[i][:2])
		require.Contains(t, rows[i][address], strings.TrimPrefix(n.URL(), "http://"))
	}
}

func (s *site) eachLinkLeadsSomewhere(t *testing.T) {
	b, n := openTab(t, s.browser), s.nodes[0]
	front := n.URL() + "/"
	b.visit(front)
	links := ask[[]string](b, `[...document.links].map(a => a.href)`)
	require.Contains(t, links, n.URL()+"/metrics")
	for _, link := range links {
		path, own := strings.CutPrefix(link, n.URL())
		require.True(t, own, "%s is another origin", link)
		_, err := n.Get(t.Context(), path)
		require.NoError(t, err)
	}
	for _, around := range [][]string{{"Cluster", "/debug/cluster", "Back to this node", "/"}, {"Ring", "/debug/ring", "Back to this node", "/"}, {"Cluster", "/debug/cluster", "Ring", "/debug/ring"}} {
		b.visit(front)
		b.click(around[0], n.URL()+around[1])
		b.click(around[2], n.URL()+around[3])
	}
}

// brokenWords are the words of a table's headings and buttons that don't fit on a line.
const brokenWords = `[...document.querySelectorAll("th[scope=col], button")].map(e => e.firstChild).flatMap(text =>
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
		for _, path := range pagePaths {
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
			for _, path := range pagePaths {
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
	b := openTab(t, s.browser)
	shows := func() bool {
		_, there := frontRows(b)[short]
		return there
	}
	i := slices.IndexFunc(s.nodes, func(n *node.Node) bool {
		b.visit(n.URL() + "/")
		return shows()
	})
	require.GreaterOrEqual(t, i, 0, "a node runs it")

	other := s.nodes[(i+1)%len(s.nodes)]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, other.URL()+"/agent/api/v1/config/"+short, nil)
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	delete(s.configs, short)
	eventually(t, func() bool {
		b.arrive(s.nodes[i].URL()+"/", chromedp.Reload())
		return !shows()
	}, "a reload goes on showing a config that was deleted")
	s.awaitConfigs(t, b)
}

func textOf(b *tab, selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(ask[string](b, fmt.Sprintf("document.querySelector(%q).textContent", selector))), " ")
}

// rowsOf are the texts of the body of the page's table numbered so.
func rowsOf(b *tab, table int) [][]string {
	b.t.Helper()
	return ask[[][]string](b, fmt.Sprintf(`[...document.querySelectorAll("table")[%d].tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent))`, table))
}

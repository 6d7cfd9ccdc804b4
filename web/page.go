package web

import (
	"html/template"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// pageRows is how many rows a page has if nothing is asked for.
const pageRows = 50

// wantsJSON says whether a page's address is asked for as JSON: by ?format=json, by Accept, or by
// another node.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return askedByPeer(r) || r.URL.Query().Get("format") == "json" ||
		strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, f pages.Frame) {
	f.Node, f.Version, f.Chaos = s.opts.Node, s.opts.Version, s.opts.Faults != nil
	f.Waiting, f.Alerts = s.opts.Ready(), s.alerts()
	if f.JSON == "" {
		query := r.URL.Query()
		query.Set("format", "json")
		f.JSON = asked(r.URL.EscapedPath(), query.Encode())
	}
	if _, _, follows := s.live.pages.match(r.URL.EscapedPath()); follows && r.Method == http.MethodGet {
		f.Live, f.Path = livePath, r.URL.EscapedPath()
	}
	render := s.pages.Render
	if isLive(r) {
		render = s.pages.RenderLive
	}
	page, err := render(name, f)
	if err != nil {
		s.log.Error("render page", zap.String("page", name), zap.Error(err))
		writeText(w, http.StatusInternalServerError, err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pages.ContentSecurityPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Vary", "Accept")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", linkedUnder(prefixOf(r), page))
}

// alerts are what every page says on top.
func (s *Server) alerts() (alerts []string) {
	if banner := s.banner(); banner != "" {
		alerts = append(alerts, banner)
	}
	if s.opts.Warnings != nil {
		alerts = append(alerts, s.opts.Warnings()...)
	}
	for i := range alerts {
		alerts[i] = redact.Text(alerts[i])
	}
	return alerts
}

// failPage says on a page, or in JSON, why there is nothing to show.
func (s *Server) failPage(w http.ResponseWriter, r *http.Request, f *refusal) {
	if wantsJSON(r) {
		f.answer(w)
		return
	}
	f.count(w)
	writeText(w, f.status, f.text)
}

// asset answers the style sheet and the script. Their names change with their content.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	asset, ok := s.pages.Asset(r.PathValue("name"))
	if !ok {
		writeText(w, http.StatusNotFound, "there is no such file; load the page again")
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	writeBody(w, http.StatusOK, asset.ContentType, asset.Content)
}

// forPage sets how many items a page has, where the request does not say it.
func forPage(r *http.Request) *http.Request {
	query := r.URL.Query()
	if query.Get("limit") != "" {
		return r
	}
	query.Set("limit", "50")
	clone := r.Clone(r.Context())
	clone.URL.RawQuery = query.Encode()
	return clone
}

// listPage is a listing as a page or as JSON. rows names the template of a row, item what it is given.
type listPage[T any] struct {
	gathering[T]
	rows string
	item func(T) any
	list pages.List
}

// answerList answers a listing.
func answerList[T any](s *Server, w http.ResponseWriter, r *http.Request, p listPage[T]) (list pages.List, out gatheredListing[T], done bool) {
	asking := r
	if !wantsJSON(r) {
		asking = forPage(r)
	}
	out, failed := collect(s, asking, p.gathering)
	if failed != nil {
		s.failPage(w, r, failed)
		return list, out, true
	}
	if wantsJSON(r) {
		succeed(w, http.StatusOK, out)
		return list, out, true
	}
	list, err := fillList(s, r, p, out)
	if err != nil {
		s.failPage(w, r, refuseWith(http.StatusInternalServerError, "", err))
		return list, out, true
	}
	return list, out, false
}

// fillList renders the rows. Where they grow too large the page ends early, and the next one begins
// there.
func fillList[T any](s *Server, r *http.Request, p listPage[T], out gatheredListing[T]) (pages.List, error) {
	shown := make([]any, 0, len(out.Items))
	for _, item := range out.Items {
		shown = append(shown, p.item(item))
	}
	rows, err := pages.Rows(s.pages, p.rows, shown)
	if err != nil {
		return p.list, err
	}
	query := r.URL.Query()
	list := p.list
	list.Path, list.Query, list.What = p.path, query, p.what
	list.Rows, list.Total, list.Next, list.Later = rows, out.Total, out.Next, query.Get("after") != ""
	if len(rows) < len(out.Items) {
		_, key, _, _, err := p.read(query)
		if err != nil {
			return list, err
		}
		list.Next = encodeCursor(key(out.Items[len(rows)-1]))
	}
	if list.Sort = query.Get("sort"); list.Sort == "" {
		list.Sort = p.usual
	}
	if p.kind != nil {
		list.Tab, list.Tabs = "state", tabsOf(p.kinds, out.Counts)
	}
	if list.Narrowed() {
		list.Empty = "Nothing matches. Clear the search to see all " + p.what + "."
	}
	return list, nil
}

// tabsOf are all kinds that there are, worst first.
func tabsOf(kinds []string, counts map[string]int) []pages.Tab {
	tabs := []pages.Tab{{Label: "All"}}
	for _, kind := range kinds {
		tabs[0].Count += counts[kind]
		if counts[kind] > 0 {
			tabs = append(tabs, pages.Tab{Value: kind, Label: strings.ToUpper(kind[:1]) + kind[1:], Count: counts[kind]})
		}
	}
	return tabs
}

// unreachables is what the frame says of nodes that did not answer.
func unreachables(silent []unreachable) []pages.Unreachable {
	shown := make([]pages.Unreachable, 0, len(silent))
	for _, u := range silent {
		shown = append(shown, pages.Unreachable{Node: u.Node, Error: u.Error})
	}
	return shown
}

// shownLabel is one label as templates show it.
type shownLabel struct{ Name, Value, Class string }

// most labels that a row shows.
const maxShownLabels = 40

func shownLabels(ls labels.Labels) (shown []shownLabel) {
	ls.Range(func(l labels.Label) {
		if len(shown) < maxShownLabels {
			shown = append(shown, shownLabel{Name: l.Name, Value: l.Value})
		}
	})
	return shown
}

// rowsOf renders rows of a fixed table.
func rowsOf[T any](s *Server, name string, items []T, item func(T) any) ([]template.HTML, error) {
	shown := make([]any, 0, len(items))
	for _, i := range items {
		shown = append(shown, item(i))
	}
	return pages.Rows(s.pages, name, shown)
}

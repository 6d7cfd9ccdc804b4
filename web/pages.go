package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
)

//go:embed pages/*.html
var pageFiles embed.FS

// parsePages reads the pages; they are part of the program, so an error is a bug.
func parsePages() *template.Template {
	return template.Must(template.New("").ParseFS(pageFiles, "pages/*.html"))
}

// page writes a page that loads nothing and runs no script.
func (s *Server) page(w http.ResponseWriter, name string, data any) {
	var buf bytes.Buffer
	if err := s.pages.ExecuteTemplate(&buf, name, data); err != nil {
		s.log.Error("render page", zap.String("page", name), zap.Error(err))
		writeText(w, http.StatusInternalServerError, "render page: "+err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", buf.Bytes())
}

type frontData struct {
	Node, Version string
	Waiting       []string
	Service       bool
	Ring, Cluster bool
	ReadAPI       bool
	Metrics       bool
	Instances     []frontInstance
	Targets       frontTargets
	Problem       string
}

type frontInstance struct {
	Instance
	// Targets are those of the whole config: they are not known by unit.
	Targets  frontTargets
	Revision string
	Pending  string
}

type frontTargets struct{ Up, Down, Unknown int }

func (t frontTargets) add(state string) frontTargets {
	switch state {
	case "up":
		t.Up++
	case "down":
		t.Down++
	default:
		t.Unknown++
	}
	return t
}

// frontPage shows a person how this node is doing.
func (s *Server) frontPage(w http.ResponseWriter, r *http.Request) {
	data := frontData{
		Node:    s.opts.Node,
		Version: s.opts.Version,
		Waiting: s.opts.Ready(),
		Service: s.opts.Configs != nil,
		Ring:    s.opts.Ring != nil,
		Cluster: s.opts.Cluster != nil,
		ReadAPI: s.opts.ReadAPI && s.opts.AgentConfig != nil,
		Metrics: s.opts.Gatherer != nil,
	}
	all, err := s.sortedInstances(r.Context())
	if err != nil {
		data.Problem = "list instances: " + err.Error()
	}
	targets, err := s.sortedTargets(r.Context())
	if err != nil {
		data.Problem = "list targets: " + err.Error()
	}
	byName := map[string]frontTargets{}
	for _, t := range targets {
		byName[t.Instance] = byName[t.Instance].add(t.State)
		data.Targets = data.Targets.add(t.State)
	}
	for _, i := range all {
		row := frontInstance{Instance: i, Targets: byName[i.Name], Revision: "–", Pending: "–"}
		if i.Revision != 0 {
			row.Revision = strconv.FormatInt(i.Revision, 10)
		}
		if i.Pending != nil {
			row.Pending = strconv.FormatUint(*i.Pending, 10)
		}
		data.Instances = append(data.Instances, row)
	}
	s.page(w, "front.html", data)
}

type ringData struct {
	Now     string
	Members []ringMember
}

type ringMember struct {
	ID, State, Address, Zone string
	Seen, Registered         string
	Tokens                   int
	Share                    string
}

func ringPage(members []Member, now time.Time) ringData {
	data := ringData{Now: formatTime(now)}
	for _, m := range members {
		row := ringMember{
			ID: m.ID, State: m.State, Address: m.Address, Zone: m.Zone, Tokens: len(m.Tokens),
			Seen: formatTime(m.Seen), Registered: formatTime(m.Registered),
			Share: percent(m.Share),
		}
		data.Members = append(data.Members, row)
	}
	return data
}

func percent(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) + " %" }

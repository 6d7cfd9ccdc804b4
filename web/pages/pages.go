package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/app.js assets/style.css assets/icon.svg
var assetFiles embed.FS

// ContentSecurityPolicy lets a page load its style and its script from where it comes from, and ask
// there for newer values.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// AssetPath is where the assets are, with {name} for the asset's.
const AssetPath = "/assets/{name}"

// Frame is what surrounds every page.
type Frame struct {
	// Title is the page's, Node and Version are the agent's.
	Title, Node, Version string
	// Current is the path of the navigation's entry that the page belongs to.
	Current string
	// Chaos: the agent can be broken on purpose, and there is a page for that.
	Chaos bool
	// JSON is where a program finds the same. Empty: nowhere.
	JSON string
	// Alerts are sentences that concern every page.
	Alerts []string
	// Waiting is what the node is not ready for.
	Waiting []string
	// Unreachable are the nodes whose part is missing.
	Unreachable []Unreachable
	// Problem says why the page shows less than it should.
	Problem string
	// Live is where the page can be followed, and Path which page that is. Empty: it can't.
	Live, Path string
	// Data is what the page's own template is given.
	Data any
}

// Unreachable is a node that did not answer.
type Unreachable struct{ Node, Error string }

// Entry is one of the navigation.
type Entry struct {
	Label, Path string
	Current     bool
}

// navigation is the same on every page.
var navigation = []Entry{
	{Label: "Overview", Path: "/"}, {Label: "Configs", Path: "/configs"}, {Label: "Targets", Path: "/targets"},
	{Label: "Receivers", Path: "/receivers"}, {Label: "Flow", Path: "/flow"}, {Label: "Cluster", Path: "/cluster"}, {Label: "Discovery", Path: "/discovery"},
	{Label: "Relabel", Path: "/relabel"}, {Label: "Status", Path: "/status"},
}

// Navigation is the header's, as seen from this page.
func (f Frame) Navigation() []Entry {
	entries := make([]Entry, 0, len(navigation)+1)
	all := navigation
	if f.Chaos {
		all = append(slices.Clone(all), Entry{Label: "Chaos", Path: "/chaos"})
	}
	for _, e := range all {
		e.Current = e.Path == f.Current
		entries = append(entries, e)
	}
	return entries
}

// Asset is a file that pages load.
type Asset struct {
	ContentType string
	Content     []byte
}

// Pages renders. Use New.
type Pages struct {
	templates *template.Template
	now       func() time.Time
	assets    map[string]Asset  // by the name in the address
	addresses map[string]string // by the file's name
}

// New reads templates and assets; they are part of the program, so an error is a bug, and panics.
func New(now func() time.Time) *Pages {
	p := &Pages{now: now, assets: map[string]Asset{}, addresses: map[string]string{}}
	for file, contentType := range map[string]string{"app.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"} {
		content, err := assetFiles.ReadFile("assets/" + file)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		extension := path.Ext(file)
		name := strings.TrimSuffix(file, extension) + "-" + hex.EncodeToString(sum[:6]) + extension
		p.assets[name] = Asset{contentType, content}
		p.addresses[file] = strings.Replace(AssetPath, "{name}", name, 1)
	}
	p.templates = template.Must(template.New("").Funcs(p.functions()).ParseFS(templateFiles, "templates/*.html"))
	return p
}

// Asset returns the file of this name. Names change with the content, so that browsers may keep
// files for ever.
func (p *Pages) Asset(name string) (Asset, bool) {
	a, ok := p.assets[name]
	return a, ok
}

// Render returns the page whose template is called so.
func (p *Pages) Render(name string, f Frame) ([]byte, error) { return p.render("frame.html", name, f) }

// RenderLive returns the part of the page that changes while one looks at it.
func (p *Pages) RenderLive(name string, f Frame) ([]byte, error) { return p.render("live", name, f) }

func (p *Pages) render(frame, name string, f Frame) ([]byte, error) {
	t := p.templates.Lookup(name)
	if t == nil {
		return nil, fmt.Errorf("render page: there is no template %q", name)
	}
	var content bytes.Buffer
	if err := t.Execute(&content, f.Data); err != nil {
		return nil, fmt.Errorf("render page: %w", err)
	}
	var page bytes.Buffer
	err := p.templates.ExecuteTemplate(&page, frame, struct {
		Frame
		Now     time.Time
		Content template.HTML
	}{f, p.now(), template.HTML(content.String())}) //nolint:gosec // it comes from a template, which has escaped it
	if err != nil {
		return nil, fmt.Errorf("render page: %w", err)
	}
	return page.Bytes(), nil
}

// MaxRowBytes bounds what the rows of one list take.
const MaxRowBytes = 120 << 10

// Rows renders items with a template until they are MaxRowBytes together, at least one of them.
func Rows[T any](p *Pages, name string, items []T) (rows []template.HTML, err error) {
	total := 0
	for _, item := range items {
		var row bytes.Buffer
		if err := p.templates.ExecuteTemplate(&row, name, item); err != nil {
			return nil, fmt.Errorf("render row: %w", err)
		}
		if total += row.Len(); total > MaxRowBytes && len(rows) > 0 {
			break
		}
		rows = append(rows, template.HTML(row.String())) //nolint:gosec // as above
	}
	return rows, nil
}

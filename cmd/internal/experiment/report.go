package experiment

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"strings"
	"time"
)

// Report is what happened in an experiment.
type Report struct {
	Experiment Experiment `json:"experiment"`
	Began      time.Time  `json:"began"`
	// Done are the steps that were taken, Ended is when all faults ended, Healed how long the
	// cluster took to be well after that.
	Done   []Done        `json:"done"`
	Ended  time.Duration `json:"ended"`
	Healed time.Duration `json:"healed"`
	// Missed and Doubled are ticks; meaningless if they are Unknown.
	Missed  int `json:"missed"`
	Doubled int `json:"doubled"`
	// Violations are what of the hypothesis does not hold, Unknown what could not be looked at, as
	// clauses.
	Violations   []string      `json:"violations"`
	Unknown      []string      `json:"unknown,omitempty"`
	Observations []Observation `json:"observations"`
	// Moves are the units that changed their node, in order.
	Moves []Move `json:"moves"`
}

// Done is a step that was taken.
type Done struct {
	At   time.Duration `json:"at"`
	For  time.Duration `json:"for,omitempty"`
	What string        `json:"what"`
	// How is by which program it was done, and what that has said; empty: by the lab itself.
	How string `json:"how,omitempty"`
}

// Holds reports whether the hypothesis held.
func (r Report) Holds() bool { return len(r.Violations) == 0 && len(r.Unknown) == 0 }

// Sentence says whether the hypothesis held.
func (r Report) Sentence() string {
	switch {
	case len(r.Violations) > 0:
		return fmt.Sprintf("%s: the hypothesis does not hold: %s.", r.Experiment.Title, strings.Join(r.Violations, "; "))
	case len(r.Unknown) > 0:
		return fmt.Sprintf("%s: whether the hypothesis holds is not known: %s.", r.Experiment.Title, strings.Join(r.Unknown, "; "))
	default:
		return fmt.Sprintf("%s: the hypothesis holds; %d ticks were missed, %d taken twice, and everything was well %s after the faults.",
			r.Experiment.Title, max(r.Missed, 0), max(r.Doubled, 0), r.Healed.Round(100*time.Millisecond))
	}
}

// Write is the report as json, junit or html.
func (r Report) Write(format string) ([]byte, error) {
	switch format {
	case "json":
		return json.MarshalIndent(r, "", "  ")
	case "junit":
		return r.junit()
	case "html":
		return r.html()
	default:
		return nil, fmt.Errorf("there is no report in the format %q; there are html, json and junit", format)
	}
}

func (r Report) junit() ([]byte, error) {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Time    float64  `xml:"time,attr"`
		Failure *failure `xml:"failure,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	one := testcase{Name: r.Experiment.Title, Time: (r.Ended + r.Healed).Seconds()}
	failures := 0
	if !r.Holds() {
		one.Failure, failures = &failure{r.Sentence()}, 1
	}
	text, err := xml.MarshalIndent(suite{Name: "chaos", Tests: 1, Failures: failures, Cases: []testcase{one}}, "", "  ")
	return append([]byte(xml.Header), text...), err
}

// The size of the drawing.
const (
	drawWidth  = 900
	drawLeft   = 150
	laneHeight = 24
	plotHeight = 70
	barHeight  = 40
)

// lane is one row of the drawing.
type lane struct {
	Y, Text  int
	Name     string
	X, Width float64
	Points   string
	Most     string
	Curve    bool
	Bars     []bar
}

type page struct {
	Report
	Text string
	Well bool
	// Noted: some steps were taken by programs.
	Noted bool
	// Moved are the first moves, and More is how many there are besides.
	Moved         []moved
	More          int
	Lanes         []lane
	Height, Right int
	Axis          []mark
	EndX          float64
}

// maxMoved is how many moves a page lists.
const maxMoved = 200

// moved is a move as the page lists it.
type moved struct {
	At   time.Duration
	What string
}

type mark struct {
	X    float64
	Text string
}

func (r Report) html() ([]byte, error) {
	p := page{Report: r, Text: r.Sentence(), Well: r.Holds(), Right: drawWidth + 15}
	whole := time.Second
	for _, o := range r.Observations {
		whole = max(whole, o.At)
	}
	x := func(at time.Duration) float64 {
		return drawLeft + float64(min(at, whole))/float64(whole)*(drawWidth-drawLeft-10)
	}
	y := 10
	for _, d := range r.Done {
		p.Noted = p.Noted || d.How != ""
		width := max(x(d.At+d.For)-x(d.At), 4)
		p.Lanes = append(p.Lanes, lane{Y: y, Text: y + 15, Name: d.What, X: x(d.At), Width: width})
		y += laneHeight
	}
	bars, most := r.bars(x, float64(y+barHeight), barHeight)
	p.Lanes = append(p.Lanes, lane{Y: y, Text: y + barHeight/2 + 4, Name: "units that move", Most: fmt.Sprint(most), Bars: bars})
	y += barHeight + 10
	y = p.addCurves(x, y)
	for i := range 11 {
		at := whole * time.Duration(i) / 10
		p.Axis = append(p.Axis, mark{x(at), fmt.Sprintf("%.0f s", at.Seconds())})
	}
	p.Height, p.EndX = y+24, x(r.Ended)
	for _, m := range r.Moves[:min(len(r.Moves), maxMoved)] {
		p.Moved = append(p.Moved, moved{m.At.Round(100 * time.Millisecond), m.what()})
	}
	p.More = len(r.Moves) - len(p.Moved)
	var out strings.Builder
	err := pageTemplate.Execute(&out, p)
	return []byte(out.String()), err
}

// addCurves draws what was observed below y, and returns where that ends.
func (p *page) addCurves(x func(time.Duration) float64, y int) int {
	for _, c := range []struct {
		name  string
		value func(Observation) int
	}{
		{"units without owner", func(o Observation) int { return o.Unowned }},
		{"samples that wait", func(o Observation) int { return o.Pending }},
		{"seconds behind", func(o Observation) int { return int(o.Lag) }},
		{"ticks missed", func(o Observation) int { return o.Missed - p.Observations[0].Missed }},
		{"ticks taken twice", func(o Observation) int { return o.Doubled - p.Observations[0].Doubled }},
	} {
		most := 1
		for _, o := range p.Observations {
			most = max(most, c.value(o))
		}
		var points strings.Builder
		for _, o := range p.Observations {
			if v := c.value(o); o.Problem == "" && v >= 0 {
				fmt.Fprintf(&points, "%.1f,%.1f ", x(o.At), float64(y+plotHeight-12)-float64(v)/float64(most)*(plotHeight-24))
			}
		}
		p.Lanes = append(p.Lanes, lane{Y: y, Text: y + plotHeight/2, Name: c.name, Points: points.String(), Most: fmt.Sprint(most), Curve: true})
		y += plotHeight
	}
	return y
}

var pageTemplate = template.Must(template.New("report").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>{{.Experiment.Title}}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}
.well{color:#186a3b}.ill{color:#b00020}</style>
<h1>{{.Experiment.Title}}</h1><p>{{.Experiment.About}}</p>
<p class="{{if .Well}}well{{else}}ill{{end}}"><strong>{{.Text}}</strong></p>
<svg viewBox="0 0 {{.Right}} {{.Height}}" role="img" aria-label="What was broken, what moved, and how the cluster was, over time">
{{range .Axis}}<line x1="{{.X}}" x2="{{.X}}" y1="5" y2="{{$.Height}}" stroke="#ddd"/><text x="{{.X}}" y="{{$.Height}}" text-anchor="middle" fill="#666">{{.Text}}</text>
{{end}}<line x1="{{.EndX}}" x2="{{.EndX}}" y1="5" y2="{{.Height}}" stroke="#186a3b" stroke-dasharray="4"/>
{{range .Lanes}}<text x="5" y="{{.Text}}">{{.Name}}</text>
{{if .Most}}<text x="145" y="{{.Text}}" text-anchor="end" fill="#666">0–{{.Most}}</text>{{end}}
{{if .Curve}}<polyline points="{{.Points}}" fill="none" stroke="#1f4e8c" stroke-width="2"/>
{{else if .Most}}{{range .Bars}}<rect x="{{.X}}" y="{{.Y}}" width="4" height="{{.Height}}" fill="#8a5a00"><title>{{.Title}}</title></rect>{{end}}
{{else}}<rect x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="18" fill="#b00020" opacity="0.6"/>{{end}}
{{end}}</svg>
<p>Faults ended at the dashed line, {{.Ended}} after the beginning at {{.Began.UTC.Format "2006-01-02 15:04:05"}} UTC.</p>
{{if .Noted}}<h2>By which programs</h2><ul>{{range .Done}}{{if .How}}<li>{{.What}}, after {{.At}}: <code>{{.How}}</code></li>{{end}}{{end}}</ul>{{end}}
{{if .Moved}}<h2>What moved</h2><ul>{{range .Moved}}<li>after {{.At}}: {{.What}}</li>{{end}}{{if .More}}<li>and {{.More}} more, which the JSON report has</li>{{end}}</ul>{{end}}
{{if .Violations}}<h2>What does not hold</h2><ul>{{range .Violations}}<li>{{.}}</li>{{end}}</ul>{{end}}
</html>
`))

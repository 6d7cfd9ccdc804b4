package pages

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"
)

// colours is how many classes c0, c1 … the style sheet has.
const colours = 8

// Share is a member's part of the ring.
type Share struct {
	Name string
	// Part is from 0 to 1.
	Part float64
}

// Ring draws the members' shares as a ring. Its legend is the table beside it: colours alone tell
// nothing.
func Ring(shares []Share) template.HTML {
	const radius, width = 80.0, 34.0
	circumference := 2 * math.Pi * radius
	var b strings.Builder
	b.WriteString(`<svg class="ring" viewBox="0 0 220 220" role="img" aria-label="` + template.HTMLEscapeString(ringLabel(shares)) + `">`)
	at := 0.0
	for i, s := range shares {
		length := s.Part * circumference
		fmt.Fprintf(&b, `<circle class="c%d" cx="110" cy="110" r="%.0f" fill="none" stroke-width="%.0f" stroke-dasharray="%.2f %.2f" `+
			`stroke-dashoffset="%.2f" transform="rotate(-90 110 110)"><title>%s: %s</title></circle>`,
			i%colours, radius, width, max(length-1, 0.2), circumference-max(length-1, 0.2), -at, template.HTMLEscapeString(s.Name), Percent(s.Part))
		at += length
	}
	fmt.Fprintf(&b, `<text x="110" y="106" text-anchor="middle">%s</text><text x="110" y="128" text-anchor="middle">on the ring</text></svg>`,
		Plural(len(shares), "node"))
	return template.HTML(b.String()) //nolint:gosec // escaped above
}

func ringLabel(shares []Share) string {
	parts := make([]string, 0, len(shares))
	for _, s := range shares {
		parts = append(parts, s.Name+" "+Percent(s.Part))
	}
	return "Shares of the ring: " + strings.Join(parts, ", ")
}

// Mark is an event on a time axis.
type Mark struct {
	At    time.Time
	Row   string
	Title string
	Wrong bool
}

// Timeline draws marks in rows over the time from the oldest to now. Nothing if there are none.
func Timeline(marks []Mark, now time.Time) template.HTML {
	if len(marks) == 0 {
		return ""
	}
	var rows []string
	oldest := now
	for _, m := range marks {
		if !slices.Contains(rows, m.Row) {
			rows = append(rows, m.Row)
		}
		if m.At.Before(oldest) {
			oldest = m.At
		}
	}
	slices.Sort(rows)
	const left, right, height = 170.0, 1190.0, 26.0
	span := max(now.Sub(oldest), time.Minute)
	x := func(t time.Time) float64 { return right - (right-left)*min(float64(now.Sub(t))/float64(span), 1) }
	var b strings.Builder
	bottom := height*float64(len(rows)) + 8
	fmt.Fprintf(&b, `<svg class="timeline" viewBox="0 0 1200 %.0f" role="img" aria-label="%d moves in the last %s">`, bottom+22, len(marks), Duration(span))
	for i, row := range rows {
		y := height*float64(i) + 18
		fmt.Fprintf(&b, `<text x="0" y="%.0f">%s</text><line x1="%.0f" x2="%.0f" y1="%.0f" y2="%.0f"/>`,
			y+4, template.HTMLEscapeString(Cut(18, row)), left, right, y, y)
	}
	for _, m := range marks {
		class := "mark"
		if m.Wrong {
			class = "mark bad"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.0f" r="5"><title>%s</title></circle>`,
			class, x(m.At), height*float64(slices.Index(rows, m.Row))+18, template.HTMLEscapeString(m.Title))
	}
	layout := "15:04:05"
	if span > 20*time.Hour {
		layout = "2 Jan 15:04"
	}
	for i := range 5 {
		t := now.Add(-span * time.Duration(4-i) / 4)
		anchor := "middle"
		if i == 4 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<text class="axis" x="%.1f" y="%.0f" text-anchor="%s">%s</text>`, x(t), bottom+16, anchor, t.UTC().Format(layout))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // escaped above
}

// Plot draws one series of values, oldest first, at equal distances, with its newest value in
// words. NaN is a gap.
func Plot(label, newest string, values []float64) template.HTML {
	const width, height = 260.0, 56.0
	most := 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			most = max(most, v)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="plot"><figcaption>%s <strong>%s</strong></figcaption><svg viewBox="0 0 %.0f %.0f" preserveAspectRatio="none" role="img" aria-label="%s, the last hour">`,
		template.HTMLEscapeString(label), template.HTMLEscapeString(newest), width, height, template.HTMLEscapeString(label))
	var path strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		y := height - 3
		if most > 0 {
			y = height - 3 - (height-6)*v/most
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, width*float64(i)/float64(max(len(values)-1, 1)), y)
		pen = "L"
	}
	fmt.Fprintf(&b, `<path d="%s" fill="none"/></svg></figure>`, path.String())
	return template.HTML(b.String()) //nolint:gosec // escaped above
}

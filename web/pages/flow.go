package pages

import (
	"fmt"
	"html/template"
	"strings"
)

// Stage is a part of the way that samples take.
type Stage struct {
	Name  string   `json:"name"`
	Lines []string `json:"lines"`
	Link  string   `json:"-"`
	// Tone is wrong where it is stuck, late where it may be; empty where all is well.
	Tone string `json:"tone,omitempty"`
	// Reason says why it is stuck.
	Reason string `json:"reason,omitempty"`
	// End: it is one of the ends of the way, beside each other.
	End bool `json:"end,omitempty"`
}

// Sizes of a drawing of stages.
const (
	stageWidth, stageHeight, stageGap = 176, 92, 26
	endWidth                          = 290
	narrowWidth, narrowHeight         = 330, 98
)

type box struct {
	*Stage
	x, y, width, height int
}

// Flow draws the stages with arrows between them, from left to right, and for narrow screens from
// above to below. What it shows stands in words beside it.
func Flow(stages []Stage) template.HTML {
	return drawFlow("flow wide", wide(stages), false) + drawFlow("flow narrow", narrow(stages), true)
}

// wide places the ends of the way below each other, at the right.
func wide(stages []Stage) (boxes []box) {
	x, y := 1, 1
	for i := range stages {
		b := box{&stages[i], x, y, stageWidth, stageHeight}
		if stages[i].End {
			b.width, y = endWidth, y+stageHeight+stageGap
		} else {
			x += stageWidth + stageGap
		}
		boxes = append(boxes, b)
	}
	return boxes
}

func narrow(stages []Stage) (boxes []box) {
	for i := range stages {
		boxes = append(boxes, box{&stages[i], 1, 1 + i*(narrowHeight+stageGap), narrowWidth, narrowHeight})
	}
	return boxes
}

func drawFlow(class string, boxes []box, down bool) template.HTML {
	var b strings.Builder
	width, height := 0, 0
	for _, one := range boxes {
		width, height = max(width, one.x+one.width+1), max(height, one.y+one.height+1)
	}
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %d %d" role="group" aria-label="The way of samples in %s">`, class, width, height, Plural(len(boxes), "stage"))
	var last box // of those before the ends
	for i, one := range boxes {
		if i > 0 && (!down || !boxes[i-1].End) { // ends that are below each other have no way between them
			drawArrow(&b, last, one, down)
		}
		if !one.End || down {
			last = one
		}
	}
	for _, one := range boxes {
		drawStage(&b, one)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // escaped below
}

// drawArrow leads from a stage to the next one; it has the tone of where it leads.
func drawArrow(b *strings.Builder, from, to box, down bool) {
	if down {
		x := from.x + from.width/2
		fmt.Fprintf(b, `<path class="arrow %s" d="M%d %dV%dm-5 -7l5 7l5 -7"/>`, to.Tone, x, from.y+from.height, to.y)
		return
	}
	left, y := from.x+from.width, from.y+from.height/2
	fmt.Fprintf(b, `<path class="arrow %s" d="M%d %dH%dV%dH%dm-7 -5l7 5l-7 5"/>`, to.Tone, left, y, left+stageGap/2, to.y+to.height/2, to.x)
}

func drawStage(b *strings.Builder, one box) {
	fits := one.width/8 - 2
	fmt.Fprintf(b, `<a href="%s"><title>%s</title><rect class="stage %s" x="%d" y="%d" width="%d" height="%d" rx="6"/><text class="name" x="%d" y="%d">%s</text>`,
		template.HTMLEscapeString(one.Link), template.HTMLEscapeString(strings.TrimSuffix(one.Name+": "+one.Reason, ": ")), one.Tone, one.x, one.y, one.width, one.height,
		one.x+10, one.y+22, template.HTMLEscapeString(cutMiddle(fits, one.Name)))
	for i, line := range one.Lines[:min(len(one.Lines), 3)] {
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`, one.x+10, one.y+42+i*18, template.HTMLEscapeString(Cut(fits, line)))
	}
	b.WriteString("</a>")
}

// cutMiddle bounds a text and keeps its end, in which addresses differ.
func cutMiddle(longest int, text string) string {
	runes := []rune(text)
	if len(runes) <= longest {
		return text
	}
	half := (longest - 1) / 2
	return string(runes[:half]) + "…" + string(runes[len(runes)-half:])
}

package scrape

import (
	"bytes"
	"math"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
)

// A target that is asked for Prometheus' text format writes nearly the same bytes each time: only values change. So each line is first
// held against the one that is expected, which is what the scrape before had at that place, and only parsed if it is another. Parsing
// is most of what a scrape costs.
//
// Whatever is not just so (another series, a timestamp, a strange value, an escape) is left to the parser, from that line on.
// It is only tried when the scrape before was in the same format, so that what is expected was read by the same rules.
//
// The only state that the format has between lines is the type of the family, on which the spelling of le and quantile
// labels depends; so the parser begins at the last TYPE.

// known is the part of a body that was taken without parsing.
type known struct {
	end   int // where the first other line begins
	typed int // where the last TYPE line begins; -1: there is none
	lines int // from that line on
}

// parserAfter makes a parser that stands after what is known.
func (in *ingester) parserAfter(k known, body []byte, contentType string) textparse.Parser {
	if k.typed < 0 {
		p, _ := in.parser(body[k.end:], contentType)
		return p
	}
	p, _ := in.parser(body[k.typed:], contentType)
	for range k.lines {
		_, _ = p.Next() // they were parsed without an error once
	}
	return p
}

// repeats reports whether lines of this body can be recognized without parsing them.
func (in *ingester) repeats(p textparse.Parser) bool {
	_, text := p.(*textparse.PromParser)
	was := in.cache.text
	in.cache.text = text
	return text && was && len(in.cache.previous) > 0 && !in.job.options.TypeAndUnitLabels
}

// repeated takes the lines that are as expected, from the start of a body.
func (in *ingester) repeated(body []byte) (k known, err error) {
	k.typed = -1
	for n := 1; k.end < len(body); n++ {
		if n%stopCheck == 0 && in.aborted() {
			return k, errAborted
		}
		var length int
		line := body[k.end:]
		if line[0] == '#' {
			length = in.repeatedComment(line)
		} else if length, err = in.repeatedSample(line); err != nil {
			return k, err
		}
		if length == 0 {
			break
		}
		if bytes.HasPrefix(line, []byte("# TYPE ")) {
			k.typed, k.lines = k.end, 0
		}
		k.lines++
		k.end += length
	}
	return k, nil
}

// repeatedSample takes a line of the series that is expected next, and returns its length, 0 if it is another line.
func (in *ingester) repeatedSample(line []byte) (int, error) {
	c := in.cache
	if c.next >= len(c.previous) {
		return 0, nil
	}
	raw := c.previous[c.next].raw
	if len(line) <= len(raw) || line[len(raw)] != ' ' || string(line[:len(raw)]) != raw {
		return 0, nil
	}
	text := line[len(raw)+1:]
	end := bytes.IndexByte(text[:min(len(text), 32)], '\n') // longer than any number worth the haste
	if end <= 0 {
		return 0, nil
	}
	v, ok := plainFloat(text[:end])
	if !ok {
		return 0, nil
	}
	return len(raw) + 1 + end + 1, in.take(entry{raw: line[:len(raw)], v: v})
}

// repeatedComment does the same with the HELP or TYPE of the family that is expected next, or of the same one again.
func (in *ingester) repeatedComment(line []byte) int {
	fs := &in.cache.families
	next := 0
	if fs.last != nil {
		if n := in.commentOf(fs.last, line); n > 0 {
			return n
		}
		next = fs.last.index + 1
	}
	if next < len(fs.order) {
		return in.commentOf(fs.order[next], line)
	}
	return 0
}

func (in *ingester) commentOf(f *family, line []byte) int {
	const help, kind = "# HELP ", "# TYPE "
	if f.seen+1 < in.cache.scrape || len(line) < len(help) {
		return 0 // it may have been read in another format
	}
	var said string
	switch string(line[:len(help)]) {
	case help:
		said = f.Help
	case kind:
		if said = string(f.Type); f.Type == model.MetricTypeUnknown {
			said = "untyped"
		}
	}
	end := len(help) + len(f.name) + 1 + len(said)
	if said == "" || end >= len(line) || line[end] != '\n' || string(line[len(help):len(help)+len(f.name)]) != f.name ||
		line[len(help)+len(f.name)] != ' ' || string(line[end-len(said):end]) != said || bytes.IndexByte(line[:end], '\\') >= 0 {
		return 0
	}
	f.seen = in.cache.scrape
	in.cache.families.last, in.family = f, f
	return end + 1
}

// plainFloat reads a number in decimal notation, or one of the usual special ones.
func plainFloat(text []byte) (float64, bool) {
	switch string(text) {
	case "NaN":
		return math.Float64frombits(value.NormalNaN), true
	case "+Inf":
		return math.Inf(1), true
	}
	small := len(text) <= 15 // so many digits fit a float64 exactly
	n := int64(0)
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int64(c-'0')
		case c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-':
			small = false
		default:
			return 0, false
		}
	}
	if small {
		return float64(n), true
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return v, err == nil
}

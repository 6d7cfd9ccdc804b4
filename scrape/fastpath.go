package scrape

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// A target that is asked for Prometheus' text format writes nearly the same bytes each time: only
// values change. So each line is first held against the one that is expected, and only parsed if it
// is another. Parsing is most of what a scrape costs.
//
// The format has only one state between lines: the type of the last TYPE line, on which the
// spelling of le and quantile labels depends. So a parser can begin at any line when it is told
// that type. Whatever is not just as expected is given to one: at first one line, then twice as
// much each time as long as nothing is as expected.

const (
	// longestNumber is longer than any number worth the haste.
	longestNumber = 32
	// longestStamp is how many digits always fit an int64.
	longestStamp = 18
	// comments in a row that are looked at for the expected one.
	commentsAhead = 4
	// nextRun and longestRun bound what is given to a parser after the first line, in bytes.
	nextRun    = 1 << 10
	longestRun = 64 << 10
)

// textReader is where an ingester is in a body of Prometheus' text format.
type textReader struct {
	kind  model.MetricType // that the last TYPE line said
	run   int              // bytes that are given to the next parser; 0: a line
	lines []byte           // for a parser, behind a TYPE line; reused
}

// text takes a body in Prometheus' text format.
func (in *ingester) text(body []byte) error {
	in.reader.kind, in.reader.run = "", 0
	for n, at := 1, 0; at < len(body); n++ {
		if n%stopCheck == 0 {
			if err := in.goOn(); err != nil {
				return err
			}
		}
		length, err := in.expected(body[at:])
		if err != nil {
			return err
		}
		if length > 0 {
			in.reader.run = 0
			at += length
			continue
		}
		if at, err = in.parsed(body, at); err != nil {
			return err
		}
	}
	return nil
}

// expected takes the line that text begins with if it is the expected one or a blank one, and
// returns its length; 0: it is another.
func (in *ingester) expected(text []byte) (length int, err error) {
	switch {
	case len(text) == 0:
		return 0, nil
	case text[0] == '\n':
		return 1, nil
	case text[0] == '#':
		return in.expectedComment(text), nil
	default:
		return in.expectedSample(text)
	}
}

func (in *ingester) expectedComment(text []byte) int {
	c := in.cache
	for place := c.next; place < min(c.before, c.next+commentsAhead) && c.lines[place].kind.isComment(); place++ {
		l := &c.lines[place]
		n := int(l.length)
		if n > len(text) || text[n-1] != '\n' || hashOf(text[:n]) != l.hash {
			continue
		}
		if !in.repeatComment(l) {
			return 0
		}
		c.touch(place)
		c.next = place + 1
		return n
	}
	return 0
}

// repeatComment does what a remembered comment does. It reports false if the family says something
// else by now.
func (in *ingester) repeatComment(l *line) bool {
	if l.kind == ofComment {
		return true
	}
	if l.family == 0 {
		return false
	}
	families := &in.cache.families
	place := l.family.place()
	f := &families.order[place]
	switch {
	case l.kind == ofHelp && f.help == l.hash:
	case l.kind == ofType && f.kind == l.hash:
		in.reader.kind = metricTypes[f.typ]
	default:
		return false
	}
	f.seen, families.last = in.cache.scrape, place+1
	in.setFamily(place)
	return true
}

func (in *ingester) expectedSample(text []byte) (length int, err error) {
	c := in.cache
	for c.next < c.before && c.lines[c.next].kind.isComment() {
		c.next++
	}
	if c.next >= c.before || in.job.options.SynthesizeStartTimestamps {
		return 0, nil
	}
	place := c.next
	l := &c.lines[place]
	n := int(l.length)
	if n >= len(text) || text[n] != ' ' || l.flags&readAsText == 0 || l.seen == c.scrape || hashOf(text[:n]) != l.hash ||
		in.family != 0 && l.family != in.family && l.kind != ofDropped {
		return 0, nil
	}
	v, own, length := plainSample(text[n+1:])
	if length == 0 {
		return 0, nil
	}
	if l.kind != ofDropped {
		if known, err := in.takeKnown(place, text[:n], v, own); err != nil || !known {
			return 0, err
		}
	}
	in.counts.scraped++
	c.touch(place)
	c.next = place + 1
	return n + 1 + length, nil
}

// takeKnown appends a sample of a series by reference alone. It reports false if the appendable
// does not know the reference.
func (in *ingester) takeKnown(place int, raw []byte, v float64, own stamp) (known bool, err error) {
	l := &in.cache.lines[place]
	t, stamped := in.timestamp(own)
	ref, before := l.ref, in.appended
	belongs := in.family != 0 && l.flags&inFamily != 0
	if err = in.limit(ref, t, v, nil, nil); err == nil {
		var options storage.AOptions
		if belongs {
			in.describe(&options)
		}
		in.inside = true
		ref, err = in.app.Append(ref, labels.EmptyLabels(), 0, t, v, nil, nil, options)
		in.inside = false
	}
	if errors.Is(err, storage.ErrNotFound) {
		in.appended = before
		return false, nil
	}
	if err == nil && ref != 0 && ref != l.ref {
		in.cache.move(place, ref)
	}
	if !belongs {
		in.family = 0 // what follows has no metadata either, until a family begins
	}
	in.exemplars = in.exemplars[:0]
	taken, err := in.check(err, raw)
	if err != nil {
		return true, err
	}
	if taken {
		in.track(l, stamped)
	}
	in.counts.kept++
	return true, nil
}

// parsed takes lines with a parser, from a place of the body on, until one is as expected. It
// returns the place after.
func (in *ingester) parsed(body []byte, from int) (to int, err error) {
	r := &in.reader
	end := len(body)
	if i := bytes.IndexByte(body[min(from+r.run, end):], '\n'); i >= 0 {
		end = from + r.run + i + 1
	}
	r.run = min(max(2*r.run, nextRun), longestRun)
	to, broken, err := in.parsedPart(body, from, end)
	if broken != nil && end < len(body) { // it may be a line that goes on: quoted text can have line breaks in it
		to, broken, err = in.parsedPart(body, to, len(body))
	}
	if err == nil {
		err = broken
	}
	return to, err
}

// parsedPart does it with a part that ends with a line, or with the body. It returns the place
// after the last line taken; broken is what the parser has against the next one, and err what is
// against a sample.
func (in *ingester) parsedPart(body []byte, from, end int) (to int, broken, err error) {
	p, after := in.parserOf(body, from, end)
	to = from
	for n := 1; ; n++ {
		if n%stopCheck == 0 {
			if err := in.goOn(); err != nil {
				return to, nil, err
			}
		}
		entryType, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			if bytes.IndexByte(body[to:end], 0) >= 0 { // it ends a body
				end = len(body)
			}
			return end, nil, nil
		case err != nil:
			return to, err, nil
		}
		var next int
		switch entryType {
		case textparse.EntryHelp, textparse.EntryType, textparse.EntryComment:
			next = in.comment(p, entryType, body, to, after)
		default:
			e := read(p, entryType)
			next = after(e.raw)
			e.text = true
			if err := in.take(e); err != nil {
				return to, nil, err
			}
		}
		to = next
		length, err := in.expected(body[min(to, end):end])
		if length > 0 || err != nil {
			return to + length, nil, err
		}
	}
}

// parserOf makes a parser of a part of a body that knows the type of the family. after tells where
// in the body the line with the given token ends.
func (in *ingester) parserOf(body []byte, from, end int) (p textparse.Parser, after func(token []byte) int) {
	r := &in.reader
	r.lines = r.lines[:0]
	if r.kind != "" && r.kind != model.MetricTypeUnknown {
		r.lines = append(append(append(r.lines, "# TYPE a "...), r.kind...), '\n')
	}
	typed := len(r.lines)
	r.lines = slices.Grow(append(r.lines, body[from:end]...), 1) // room for the line break that the parser appends
	size := len(r.lines) + 1
	p = textparse.NewPromParser(r.lines[:len(r.lines):size], labels.NewSymbolTable(), in.job.options.TypeAndUnitLabels)
	if typed > 0 {
		_, _ = p.Next()
	}
	return p, func(token []byte) int {
		// A token is part of what the parser was given, and so its capacity tells its place.
		to := min(from-typed+size-cap(token)+len(token), len(body))
		if i := bytes.IndexByte(body[to:], '\n'); i >= 0 {
			return to + i + 1
		}
		return len(body)
	}
}

// comment takes the comment that a parser stands at, with which text begins, and returns its
// length. after is as parserOf returned it.
func (in *ingester) comment(p textparse.Parser, t textparse.Entry, body []byte, from int, after func([]byte) int) (to int) {
	l := line{kind: ofComment, flags: readAsText}
	remember := func(token []byte) {
		to = after(token)
		if text := body[from:to]; text[len(text)-1] == '\n' {
			l.hash, l.length = hashOf(text), uint32(len(text))
		}
	}
	switch t {
	case textparse.EntryHelp:
		name, help := p.Help()
		remember(name)
		l.kind, l.family = ofHelp, in.familyHelp(name, help, l.hash)
	case textparse.EntryType:
		name, kind := p.Type()
		remember(name)
		l.kind, l.family = ofType, in.familyType(name, kind, l.hash)
		in.reader.kind = kind
	default:
		remember(p.Comment())
	}
	if l.length > 0 {
		in.cache.comment(l)
	}
	return to
}

// plainSample reads what follows a series and a space: a plain number, perhaps a timestamp, and the
// end of the line. length is that of all this; 0: it is something else.
func plainSample(text []byte) (v float64, own stamp, length int) {
	end := bytes.IndexByte(text[:min(len(text), longestNumber+1+longestStamp)], '\n')
	if end <= 0 {
		return 0, own, 0
	}
	number := text[:end]
	if space := bytes.IndexByte(number, ' '); space >= 0 {
		if own.t, own.given = plainStamp(number[space+1:]); !own.given {
			return 0, own, 0
		}
		number = number[:space]
	}
	v, ok := plainFloat(number)
	if !ok || len(number) == 0 {
		return 0, own, 0
	}
	return v, own, end + 1
}

// plainStamp reads a timestamp.
func plainStamp(text []byte) (t int64, ok bool) {
	if len(text) == 0 || len(text) > longestStamp {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		t = t*10 + int64(c-'0')
	}
	return t, true
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

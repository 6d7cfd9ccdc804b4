package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// syntaxFault is what keeps a text from being YAML.
type syntaxFault struct {
	problem string
	// line is where the fault is. Of something that is left open, it is where that begins, and
	// noticed is the line up to which the parser looked for its end; otherwise noticed is 0. Both
	// may be just behind the last line.
	line, noticed int
}

// parseYAML returns the document node, nil for a text without any.
func parseYAML(text string) (doc *yaml.Node, fault *syntaxFault) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	defer func() { // the parser panics on a few kinds of garbage
		if p := recover(); p != nil {
			doc, fault = nil, &syntaxFault{problem: fmt.Sprintf("this is not YAML: %v", p), line: marksOf(dec).reached}
		}
	}()
	doc = &yaml.Node{}
	if err := dec.Decode(doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, faultOf(dec, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, &syntaxFault{problem: "a second document begins here; only one is allowed", line: second.Line}
	} else if !errors.Is(err, io.EOF) {
		return nil, faultOf(dec, err)
	}
	return doc, nil
}

// faultOf places an error of the decoder. Its text has a line that is often not that of the fault:
// the line before, or the first line of the block that the fault is in, or none.
func faultOf(dec *yaml.Decoder, err error) *syntaxFault {
	f := &syntaxFault{problem: regexp.MustCompile(`^yaml: (line \d+: )?`).ReplaceAllString(err.Error(), "")}
	at := marksOf(dec)
	f.line = at.problem
	switch {
	case !at.failed: // the parser is content, and the node that it has just read is wrong
		f.line = at.event
	case strings.HasPrefix(at.context, "while parsing a flow "),
		at.context == "while scanning a quoted scalar" && strings.HasPrefix(f.problem, "found unexpected "):
		f.line, f.noticed = at.begin, at.problem
	case at.context == "while scanning a simple key":
		f.line = at.begin
	}
	return f
}

// marks are what a decoder knows of places in its text. Lines count from 1.
type marks struct {
	failed  bool   // the parser or the scanner has found a fault
	context string // what it was doing then
	begin   int    // the line where it began to do that
	problem int    // the line of the fault
	event   int    // the line of the node that was read last
	reached int    // how far it has read
}

// marksOf reads them from the decoder's private fields, since it tells them nowhere else. Should
// another version of the library have other fields, the lines are 1; a test notices.
func marksOf(dec *yaml.Decoder) marks {
	composer := field(reflect.ValueOf(dec), "parser")
	parser, event := field(composer, "parser"), field(composer, "event")
	line := func(of reflect.Value, mark string) int {
		if n := field(field(of, mark), "line"); n.IsValid() && n.CanInt() {
			return max(int(n.Int()), 0) + 1
		}
		return 1
	}
	m := marks{
		begin: line(parser, "context_mark"), problem: line(parser, "problem_mark"), reached: line(parser, "mark"), event: line(event, "start_mark"),
	}
	if kind := field(parser, "error"); kind.IsValid() {
		m.failed = !kind.IsZero()
	}
	if context := field(parser, "context"); context.IsValid() {
		m.context = context.String()
	}
	return m
}

// field is a field of a struct or of what points to one; the zero Value if there is none.
func field(of reflect.Value, name string) reflect.Value {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return of.FieldByName(name)
}

// unprintable finds what no YAML text may hold, which the parser reports without a line.
func unprintable(text string) (line int, problem string) {
	line = 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, "this is not UTF-8 text"
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff, r == 0xfeff && i > 0:
			return line, fmt.Sprintf("control character %U", r)
		}
		i += size
	}
	return 0, ""
}

func (d *document) failSyntax(f *syntaxFault, text string) {
	last := lastLine(text)
	line, problem := min(f.line, last), f.problem
	switch {
	case f.noticed > last || f.line > last:
		problem += " up to the end of the text"
	case f.noticed > line:
		problem += fmt.Sprintf(" up to line %d", d.original(f.noticed))
	}
	d.failLine(line, problem, "check the indentation, brackets, quotes and colons around this line")
}

// lastLine is the last line with something on it besides a comment, at least 1.
func lastLine(text string) int {
	last, n := 1, 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			last = n
		}
	}
	return last
}

package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// NameLine returns what has to be inserted into the text of a config, and at which byte, so that
// the text itself says the name. Grafana Agent takes the name of a stored config from its text. The
// line is empty if the text says the name already. The error, if any, is Errors: the text says
// another name, or there is no safe place to insert one.
func NameLine(origin, name, text string) (line string, at int, err error) {
	d := parseDocument(origin, text, nil, 0)
	if d.root == nil || d.root.Kind != yaml.MappingNode {
		return "", 0, nil // ParseInstance refuses it
	}
	line, at = d.nameLine(name, text)
	if err := d.verdict(); err != nil {
		return "", 0, err
	}
	return line, at, nil
}

// ParseUpload is ParseInstance and NameLine, for less than the two cost. The error has what either
// finds.
func ParseUpload(name, text string, opts InstanceOptions) (i *Instance, line string, at int, err error) {
	i, d := parseInstance(name, text, opts, (*document).decode)
	if d.root != nil && d.root.Kind == yaml.MappingNode && !d.overflow {
		line, at = d.nameLine(name, text)
	}
	if err := d.verdict(); err != nil {
		return nil, "", 0, err
	}
	return i, line, at, nil
}

// nameLine is NameLine for the document that was made from the text. Errors are in errs.
func (d *document) nameLine(name, text string) (line string, at int) {
	if written := child(d.root, "name"); written != nil {
		switch {
		case isNull(written):
			d.fail(written, "the key has no value", fmt.Sprintf("remove it, or write name: %s", strconv.Quote(name)))
		case written.Value != name && written.Kind == yaml.ScalarNode: // what is no single value is told elsewhere
			d.fail(written, fmt.Sprintf("the text says %q, but the config is uploaded as %q", written.Value, name),
				"remove the key, or make the two equal")
		}
		return "", 0
	}
	if d.overBudget { // to look for a place may cost two more parses
		return "", 0
	}
	root := d.parsed.Content[0]
	line, at, ok := nameLineFor(root, name, text)
	if !ok || !beginsPlainly(root, text) && !saysName(name, text, text[:at]+line+text[at:]) {
		d.fail(d.root, "the name can't be inserted into a text of this form", fmt.Sprintf("write name: %s yourself", strconv.Quote(name)))
		return "", 0
	}
	return line, at
}

// beginsPlainly reports whether the first byte of a text is that of the first key of a block, as in
// nearly all configs: a line above it is one more key, which needs no proof.
func beginsPlainly(root *yaml.Node, text string) bool {
	letter := text != "" && (text[0] >= 'a' && text[0] <= 'z' || text[0] >= 'A' && text[0] <= 'Z')
	return letter && root.Style&yaml.FlowStyle == 0 && root.Content[0].Line == 1 && root.Content[0].Column == 1
}

// nameLineFor makes the line for a mapping in block or flow style.
func nameLineFor(root *yaml.Node, name, text string) (line string, at int, ok bool) {
	const why = "# from the upload's URL\n"
	if root.Style&yaml.FlowStyle != 0 {
		at, ok = offset(text, root.Line, root.Column)
		if !ok || at >= len(text) || text[at] != '{' {
			return "", 0, false
		}
		return "name: " + strconv.Quote(name) + ", " + why, at + 1, true
	}
	if len(root.Content) == 0 {
		return "", 0, false
	}
	first := root.Content[0]
	at, ok = offset(text, first.Line, first.Column)
	return "name: " + strconv.Quote(name) + " " + why + strings.Repeat(" ", first.Column-1), at, ok
}

// offset is the byte at a line and a column, which both count from 1.
func offset(text string, line, column int) (at int, ok bool) {
	for ; line > 1; line-- {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			return 0, false
		}
		at += end + 1
	}
	for i := range text[at:] {
		if column--; column == 0 {
			return at + i, true
		}
	}
	return 0, false
}

// saysName reports whether a text has everything that another has, and the name besides.
func saysName(name, without, text string) bool {
	before, d := parseDocument("", without, nil, 0), parseDocument("", text, nil, 0)
	if before.root == nil || d.root == nil || d.root.Kind != yaml.MappingNode {
		return false
	}
	said := ""
	rest := *d.root
	rest.Content = nil
	for key, value := range pairs(d.root) {
		if key.Value == "name" {
			said = value.Value
			continue
		}
		rest.Content = append(rest.Content, key, value)
	}
	return said == name && canonical(&rest) == canonical(before.root)
}

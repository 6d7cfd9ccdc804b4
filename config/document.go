package config

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/redact"
)

const (
	// maxNodes bounds a document after its aliases were replaced by what they stand for.
	maxNodes = 500_000
	// maxDepth bounds the nesting of blocks; real configs stay below 20.
	maxDepth = 100
)

// document is one YAML text while it is being checked. Errors collect in errs; nodes that do not
// decode are marked bad and left out, so that the rest does.
type document struct {
	file   string
	lines  []int // see expansion.lines
	schema *schema

	parsed *yaml.Node // as written: aliases, merge keys, comments
	root   *yaml.Node // without aliases and merge keys; nil for an empty text
	origin map[*yaml.Node]*yaml.Node

	// flags are the values that the command line has set, each with its flag.
	flags map[*yaml.Node]string

	// lenient leaves discoveries that this program does not contain to the agent; unchecked are
	// their keys.
	lenient   bool
	unchecked []string

	errs     Errors
	notes    []string // warnings about keys that have no effect
	overflow bool     // there are more than maxErrors
	// overBudget: it must not be decoded, since that would cost too much.
	overBudget bool
	bad        map[*yaml.Node]bool
	badKeys    map[*yaml.Node][]string // mapping → the keys that are missing or wrong because of an error already told
}

// parseDocument parses text, which has at most that many values; 0: maxNodes. Problems of the
// syntax are in errs, and root is nil then.
func parseDocument(file, text string, lines []int, most int) *document {
	d := &document{
		file: file, lines: lines, schema: newSchema(),
		origin: map[*yaml.Node]*yaml.Node{}, bad: map[*yaml.Node]bool{}, badKeys: map[*yaml.Node][]string{},
	}
	if line, problem := unprintable(text); problem != "" {
		d.failLine(line, problem, "save the file as UTF-8 text")
		return d
	}
	parsed, fault := parseYAML(text)
	if fault != nil {
		d.failSyntax(fault, text)
		return d
	}
	if parsed == nil || len(parsed.Content) == 0 || isNull(parsed.Content[0]) {
		return d
	}
	d.parsed = parsed
	if most <= 0 || most > maxNodes {
		most = maxNodes
	}
	e := expander{document: d, most: most, using: map[*yaml.Node]bool{}}
	root := e.expand(parsed.Content[0], 0)
	if len(d.errs) == 0 {
		d.root = root
	}
	return d
}

// reject records an error about a node that does not decode, and leaves the node out of decoding.
func (d *document) reject(n *yaml.Node, problem, hint string) {
	d.bad[n] = true
	d.fail(n, problem, hint)
}

// fail records an error about a node.
func (d *document) fail(n *yaml.Node, problem, hint string) {
	if len(d.errs) >= maxErrors {
		d.overflow = true
		return
	}
	path, line := d.locate(n)
	if flag := d.flags[n]; flag != "" {
		problem = flag + ": " + problem
	}
	d.errs = append(d.errs, Error{
		File: d.file, Line: line, Field: path, Problem: redact.Text(problem), Hint: hint,
	})
}

func (d *document) failLine(line int, problem, hint string) {
	d.errs = append(d.errs, Error{File: d.file, Line: d.original(line), Problem: redact.Text(problem), Hint: hint})
}

// original is the line of the user's file that a line of the parsed text comes from, at least 1.
func (d *document) original(line int) int {
	if line <= 0 {
		return 1
	}
	if len(d.lines) > 0 {
		return d.lines[min(line, len(d.lines))-1]
	}
	return line
}

func (d *document) line(n *yaml.Node) int {
	_, line := d.locate(n)
	return line
}

// locate returns the path of a value or key and its line; a block is where its key is. It searches,
// so it is for errors, and for what errors are told about.
func (d *document) locate(target *yaml.Node) (path string, line int) {
	if d.root == nil || target == nil {
		return "", 1
	}
	line = target.Line
	var search func(n *yaml.Node, at string) bool
	search = func(n *yaml.Node, at string) bool {
		if n == target {
			path = at
			return true
		}
		for key, value := range pairs(n) {
			below := joinPath(at, key.Value)
			if value == target && value.Kind != yaml.ScalarNode {
				line = key.Line
			}
			if key == target {
				path = below
				return true
			}
			if search(value, below) {
				return true
			}
		}
		if n.Kind == yaml.SequenceNode {
			for i, item := range n.Content {
				if search(item, fmt.Sprintf("%s[%d]", at, i)) {
					return true
				}
			}
		}
		return false
	}
	search(d.root, "")
	return path, d.original(line)
}

// nameInstance puts the name of an instance into the errors about what is at or below path.
func (d *document) nameInstance(path, name string) {
	for i := range d.errs {
		rest, below := strings.CutPrefix(d.errs[i].Field, path)
		if below && (path == "" || rest == "" || rest[0] == '.') {
			d.errs[i].Instance = name
		}
	}
}

func joinPath(at, key string) string {
	if strings.ContainsAny(key, ".[] ") || key == "" {
		key = strconv.Quote(key)
	}
	if at == "" {
		return key
	}
	return at + "." + key
}

// at returns the value behind the keys, or the last one on the way to it that exists. present tells
// which.
func at(n *yaml.Node, keys ...string) (value *yaml.Node, present bool) {
	for _, key := range keys {
		below := child(n, key)
		if below == nil || isNull(below) {
			return n, false
		}
		n = below
	}
	return n, n != nil
}

// clean returns n without the nodes that are bad.
func (d *document) clean(n *yaml.Node) *yaml.Node {
	if len(d.bad) == 0 || n == nil {
		return n
	}
	out := *n
	out.Content = nil
	switch n.Kind {
	case yaml.MappingNode:
		for key, value := range pairs(n) {
			if !d.bad[key] && !d.bad[value] {
				out.Content = append(out.Content, key, d.clean(value))
			}
		}
	case yaml.SequenceNode:
		for _, item := range d.items(n) {
			out.Content = append(out.Content, d.clean(item))
		}
	}
	return &out
}

// items are a list's nodes that are not bad: those that were decoded, in the same order.
func (d *document) items(list *yaml.Node) []*yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(list.Content), func(n *yaml.Node) bool { return d.bad[n] })
}

// canonical hashes what a node means: order of keys, style and comments don't count.
func canonical(n *yaml.Node) Digest {
	h := sha256.New()
	var write func(n *yaml.Node)
	write = func(n *yaml.Node) {
		fmt.Fprintf(h, "%d %s %d:%s %d\n", n.Kind, n.ShortTag(), len(n.Value), n.Value, len(n.Content))
		if n.Kind != yaml.MappingNode {
			for _, c := range n.Content {
				write(c)
			}
			return
		}
		keys := make([]string, 0, len(n.Content)/2)
		for key := range pairs(n) {
			keys = append(keys, key.Value)
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(h, "%d:%s\n", len(key), key)
			write(child(n, key))
		}
	}
	if n != nil {
		write(n)
	}
	return Digest(h.Sum(nil))
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is one thing that is wrong with a config.
type Error struct {
	// File is the name of the file or, for an upload, of the config.
	File string
	// Line counts from 1. It is the line of the value, or of the block it belongs to when nothing
	// finer is known.
	Line int
	// Instance is the name of the instance the field belongs to; empty outside of one.
	Instance string
	// Field is the path of the value, as in scrape_configs[2].relabel_configs[1].regex. Empty for
	// the whole document.
	Field string
	// Problem says what is wrong. It holds no secret.
	Problem string
	// Hint says what to do about it; may be empty.
	Hint string
}

// Error renders "file:line: instance "name": field: problem; hint".
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	if e.Instance != "" {
		fmt.Fprintf(&b, "instance %q: ", e.Instance)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with a config, in the order of the lines. It is never empty
// when returned.
type Errors []Error

// Error renders one error per line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// maxErrors is how many errors of one document are told. A person reads no more, and finding each
// costs time.
const maxErrors = 100

// verdict is nil for a document without errors.
func (d *document) verdict() error {
	if len(d.errs) == 0 {
		return nil
	}
	return d.result()
}

// result is what was found: in the order of the lines, without repetitions (a value behind a YAML
// alias is checked once per use).
func (d *document) result() Errors {
	found := slices.Clone(d.errs)
	slices.SortStableFunc(found, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
	found = slices.Compact(found)
	if d.overflow {
		found = append(found, Error{
			File: d.file, Line: found[len(found)-1].Line,
			Problem: fmt.Sprintf("there are more than %d errors", maxErrors), Hint: "fix these first",
		})
	}
	return found
}

// uniques notices names that are given twice, in a list of things that must have different ones.
type uniques struct {
	*document
	what  string
	first map[string]*yaml.Node
}

func (d *document) uniques(what string) uniques {
	return uniques{document: d, what: what, first: map[string]*yaml.Node{}}
}

// add records that the node gives the name.
func (u uniques) add(n *yaml.Node, name string) {
	if first, again := u.first[name]; again {
		u.fail(n, fmt.Sprintf("the name %q is already used in line %d", name, u.line(first)), "give each "+u.what+" a name of its own")
		return
	}
	u.first[name] = n
}

// nearest returns the candidate that a reader most likely meant by word, or "" if none is close.
func nearest(word string, candidates []string) string {
	best, distance := "", max(2, len(word)/3)+1
	slices.Sort(candidates)
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's, on bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, substitute)
		}
	}
	return row[len(b)]
}

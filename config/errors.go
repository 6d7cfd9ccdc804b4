package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a config.
type Error struct {
	// File is the name of the file or, for an upload, of the config.
	File string
	// Line counts from 1. It is the line of the value, or of the block it belongs to when nothing finer is known.
	Line int
	// Instance is the name of the instance the field belongs to; empty outside of one.
	Instance string
	// Field is the path of the value, as in scrape_configs[2].relabel_configs[1].regex. Empty for the whole document.
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

// Errors is everything that is wrong with a config, in the order of the lines. It is never empty when returned.
type Errors []Error

// Error renders one error per line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders by line and drops repetitions (a value behind a YAML alias is checked once per use).
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
	return slices.Compact(es)
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

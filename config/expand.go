package config

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/drone/envsubst/v2"
	"github.com/drone/envsubst/v2/parse"
)

// expansion is a text with its references to variables replaced.
type expansion struct {
	text string
	// lines[i] is the line of the original that line i+1 of text comes from; nil if they are the same.
	lines []int
	// unset are the plain references to variables that are not set, as "line 3: FOO".
	unset []string
	// errs are the references that can't be read. Their lines are in text as they were written, so
	// that the rest can be checked.
	errs Errors
}

// expandVariables replaces the references in text by the library that Grafana Agent used: ${VAR},
// defaults, cases, lengths, parts and replacements, as its documentation lists them. $$ is a dollar
// sign; a relabel rule's ${1} is left alone.
func expandVariables(file, text string, lookup func(string) (string, bool)) expansion {
	var (
		out expansion
		b   strings.Builder
	)
	value := func(name string) string {
		if isGroup(name) {
			return "${" + name + "}"
		}
		v, _ := lookup(name)
		return v
	}
	for i, line := range strings.SplitAfter(text, "\n") {
		expanded, err := envsubst.Eval(line, value)
		if err != nil {
			out.errs = append(out.errs, Error{
				File: file, Line: i + 1, Problem: fmt.Sprintf("a reference to a variable can't be read: %v", err),
				Hint: "write it like ${NAME} or ${NAME:-default}; a dollar sign that stands for itself is written $$",
			})
			expanded = line
		}
		for _, name := range plainReferences(line) {
			if _, set := lookup(name); !set && !isGroup(name) {
				out.unset = append(out.unset, fmt.Sprintf("line %d: %s", i+1, name))
			}
		}
		b.WriteString(expanded)
		for range 1 + strings.Count(strings.TrimSuffix(expanded, "\n"), "\n") {
			out.lines = append(out.lines, i+1)
		}
	}
	out.text = b.String()
	return out
}

// isGroup says whether a name is a number, and so a group of a relabel rule.
func isGroup(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsDigit(r) }) < 0
}

// plainReferences are the names in ${NAME}, without those that say what to take instead.
func plainReferences(line string) (names []string) {
	tree, err := parse.Parse(line)
	if err != nil {
		return nil
	}
	var walk func(n parse.Node)
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, below := range n.Nodes {
				walk(below)
			}
		case *parse.FuncNode:
			if n.Name == "" && len(n.Args) == 0 {
				names = append(names, n.Param)
			}
			for _, below := range n.Args {
				walk(below)
			}
		}
	}
	walk(tree.Root)
	return names
}

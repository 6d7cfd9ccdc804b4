package config

import (
	"fmt"
	"regexp"
	"strings"
)

// reference matches ${VAR} and ${VAR:-default}. A digit first is a relabel rule's ${1}, which is left alone.
const referencePattern = `\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`

// expansion is a text with its references to variables replaced.
type expansion struct {
	text string
	// lines[i] is the line of the original that line i+1 of text comes from; nil if they are the same.
	lines []int
	// unset are the references that had neither a value nor a default, as "line 3: FOO".
	unset []string
}

// expandVariables replaces the references in text. As in a shell, a default is used for a variable that is unset or empty.
func expandVariables(text string, lookup func(string) (string, bool)) expansion {
	reference := regexp.MustCompile(referencePattern)
	var (
		out expansion
		b   strings.Builder
	)
	for i, line := range strings.SplitAfter(text, "\n") {
		expanded := reference.ReplaceAllStringFunc(line, func(ref string) string {
			part := reference.FindStringSubmatch(ref)
			value, set := lookup(part[1])
			if value == "" && part[2] != "" {
				return part[3]
			}
			if !set {
				out.unset = append(out.unset, fmt.Sprintf("line %d: %s", i+1, part[1]))
			}
			return value
		})
		b.WriteString(expanded)
		for range 1 + strings.Count(strings.TrimSuffix(expanded, "\n"), "\n") {
			out.lines = append(out.lines, i+1)
		}
	}
	out.text = b.String()
	return out
}

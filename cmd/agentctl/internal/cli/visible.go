package cli

import (
	"io"
	"strings"
	"unicode"
)

// visible replaces control characters, which could move the cursor of a terminal or colour what
// follows: receivers, targets and labels send any text. Lines and tabs stay.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// cellText is a text as it stands in a table, on one line.
func cellText(text string) string {
	return visible(strings.NewReplacer("\n", " ", "\t", " ").Replace(text))
}

// visibleWriter makes visible whatever is printed for people. Each Write has whole characters.
type visibleWriter struct{ w io.Writer }

func visibly(w io.Writer) io.Writer { return visibleWriter{w} }

func (v visibleWriter) Write(text []byte) (int, error) {
	if _, err := io.WriteString(v.w, visible(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// exactly is where a writer leads without any change of texts: for programs, and for our own
// sequences of control characters.
func exactly(w io.Writer) io.Writer {
	if v, wrapped := w.(visibleWriter); wrapped {
		return v.w
	}
	return w
}

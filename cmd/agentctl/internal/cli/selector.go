package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// parseSelector reads a selector of series as PromQL has it: name{label="value", other=~"regex"}.
// PromQL's own parser would add a megabyte to agentctl.
func parseSelector(text string) (matchers []*labels.Matcher, err error) {
	name, rest, braces := strings.Cut(strings.TrimSpace(text), "{")
	name = strings.TrimSpace(name)
	if strings.ContainsAny(name, " \t\"'}=,") {
		return nil, fmt.Errorf("%q is no name of a metric", name)
	}
	if name != "" {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, "__name__", name))
	}
	if !braces {
		return matchers, nil
	}
	for {
		rest = strings.TrimSpace(rest)
		if rest == "}" {
			return matchers, nil
		}
		var m *labels.Matcher
		if m, rest, err = parseMatcher(rest); err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
		rest = strings.TrimSpace(rest)
		if after, more := strings.CutPrefix(rest, ","); more {
			rest = after
		} else if rest != "}" {
			return nil, fmt.Errorf("want , or } at %q", rest)
		}
	}
}

// parseMatcher reads one, and returns what follows it.
func parseMatcher(text string) (m *labels.Matcher, rest string, err error) {
	end := strings.IndexAny(text, "=!")
	if end <= 0 {
		return nil, "", fmt.Errorf(`want label="value" at %q`, text)
	}
	name, rest := strings.TrimSpace(text[:end]), text[end:]
	for _, kind := range []labels.MatchType{labels.MatchRegexp, labels.MatchNotRegexp, labels.MatchNotEqual, labels.MatchEqual} {
		after, is := strings.CutPrefix(rest, kind.String())
		if !is {
			continue
		}
		after = strings.TrimSpace(after)
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, "", fmt.Errorf("want a quoted value at %q", after)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, "", fmt.Errorf("want a quoted value at %q", after)
		}
		m, err := labels.NewMatcher(kind, name, value)
		return m, after[len(quoted):], err
	}
	return nil, "", fmt.Errorf("want =, !=, =~ or !~ at %q", rest)
}

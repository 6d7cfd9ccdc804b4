package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// decode fills what out points to from n. If anything does not decode, every single error is found
// and recorded, and out is filled from the rest. If it returns false that was not possible, and out
// must not be looked at.
func (d *document) decode(n *yaml.Node, out any) bool {
	if d.bad[n] {
		return false
	}
	if decodeNode(d.clean(n), out) == nil {
		return true
	}
	d.explain(n, reflect.TypeOf(out).Elem())
	if d.bad[n] || d.overflow {
		return false
	}
	if err := decodeNode(d.clean(n), out); err != nil {
		d.reject(n, plain(err, n), "")
		return false
	}
	return true
}

// decodeNode decodes n by the decoder that Prometheus and Grafana Agent use, so that each value
// means here what it means there: a key without a value is the empty string, 0 or false to it,
// where a newer decoder keeps the default. Types that nobody thought of decoding, which some
// discoveries have in public fields, make it panic.
func decodeNode(n *yaml.Node, out any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("this can't be decoded")
		}
	}()
	text, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	return yamlv2.Unmarshal(text, out)
}

// explain finds out which values below n keep it from decoding as t. Values come before the blocks
// they are in, so a block is decoded without them and only blamed for what is its own.
func (d *document) explain(n *yaml.Node, t reflect.Type) {
	if d.bad[n] || isNull(n) {
		return
	}
	sh := d.schema.of(t)
	switch n.Kind {
	case yaml.MappingNode:
		for key, value := range pairs(n) {
			below := sh.elem
			if sh.form == formStruct {
				below = sh.fields[key.Value]
			}
			if below == nil || d.bad[key] {
				continue
			}
			d.explain(value, below)
			if d.bad[value] {
				d.badKeys[n] = append(d.badKeys[n], key.Value)
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if sh.elem != nil {
				d.explain(item, sh.elem)
			}
		}
	}
	d.blame(n, t)
}

// blame decodes n as t and records what it says. What an error can be pinned on inside of n is left
// out, and n is tried again, since a decoder stops at its first error.
func (d *document) blame(n *yaml.Node, t reflect.Type) {
	told := map[string]bool{}
	for !d.overflow {
		err := decodeNode(d.clean(n), reflect.New(t).Interface())
		if err == nil {
			return
		}
		problem := plain(err, n)
		if told[problem] || d.follows(n, problem) {
			d.bad[n] = true
			return
		}
		culprit := d.culprit(n, problem, err)
		if culprit == n && len(told) > 0 {
			// Likely that something is missing, because it was left out after the error before.
			d.bad[n] = true
			return
		}
		told[problem] = true
		d.reject(culprit, problem, remedy(problem))
		if culprit == n {
			return
		}
	}
}

// follows says whether an error of a block only repeats that one of its keys is wrong or missing.
func (d *document) follows(n *yaml.Node, problem string) bool {
	return slices.ContainsFunc(d.badKeys[n], func(key string) bool { return mention(strings.ToLower(problem), key) >= 0 })
}

// culprit guesses which value inside of n an error is about: the one it quotes, or the one whose
// key it names first. It returns n itself if there is none.
func (d *document) culprit(n *yaml.Node, problem string, err error) *yaml.Node {
	quoted := quotes(problem)
	var urlErr *url.Error
	if errors.As(err, &urlErr) { // its URL is kept out of the problem
		quoted = append(quoted, urlErr.URL)
	}
	best, rank := n, len(problem)
	var search func(at *yaml.Node)
	search = func(at *yaml.Node) {
		if at.Kind == yaml.ScalarNode && at != n && slices.Contains(quoted, at.Value) {
			best, rank = at, -1
		}
		for key, value := range pairs(at) {
			if d.bad[key] || d.bad[value] {
				continue
			}
			// A plain word like "name" means the block's own key, if any.
			telling := at == n || strings.Contains(key.Value, "_") || key.Value != strings.ToLower(key.Value)
			if i := mention(problem, key.Value); telling && i >= 0 && i < rank {
				best, rank = value, i
			}
			search(value)
		}
		for _, item := range listed(at) {
			if !d.bad[item] {
				search(item)
			}
		}
	}
	search(n)
	return best
}

// mention is where in a problem's text a key is named, also with spaces for its underscores; -1 if
// it is not.
func mention(problem, key string) int {
	if !strings.Contains(strings.ReplaceAll(problem, "_", " "), strings.ReplaceAll(key, "_", " ")) {
		return -1
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(key), "_", "[_ ]")
	if at := regexp.MustCompile(`\b` + pattern + `\b`).FindStringIndex(problem); at != nil {
		return at[0]
	}
	return -1
}

func quotes(text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// plain words a decoder's error for a reader who knows YAML but not Go.
func plain(err error, n *yaml.Node) string {
	var (
		typeErr *yamlv2.TypeError
		urlErr  *url.Error
	)
	switch {
	case errors.As(err, &urlErr):
		// The error quotes the URL, which may hold a password.
		return "this is not a valid URL"
	case strings.HasPrefix(err.Error(), "not a valid duration string") && strings.HasPrefix(n.Value, "-"):
		return "a duration must not be negative"
	case strings.HasPrefix(err.Error(), "units: "):
		return fmt.Sprintf("%q is not a size", n.Value)
	case !errors.As(err, &typeErr):
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	text := regexp.MustCompile(`^line \d+: `).ReplaceAllString(typeErr.Errors[0], "")
	into := text[strings.LastIndex(text, " ")+1:]
	switch {
	case !strings.HasPrefix(text, "cannot unmarshal"):
		return text
	case strings.HasPrefix(into, "uint"):
		return "this must be a whole number, 0 or more"
	case strings.HasPrefix(into, "int"):
		return "this must be a whole number"
	case strings.HasPrefix(into, "float"):
		return "this must be a number"
	case into == "bool":
		return "this must be true or false"
	default:
		return "this must be a single value of another type"
	}
}

// remedy says what to do about an error that only says what is wrong.
func remedy(problem string) string {
	for _, known := range []struct{ part, hint string }{
		{"error parsing regexp", "write an RE2 expression, in single quotes if it has backslashes; it is anchored at both ends"},
		{"unknown relabel action", "use replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase"},
		{"duration", "write it like 30s, 5m or 1h30m"},
		{"is not a size", "write it like 512MB"},
		{"is not a valid URL", "write it like http://host:9090/path, with special characters of a password as %xx"},
		{"is not a valid hostname", "write host:port; the path goes into metrics_path and the scheme into scheme"},
		{"greater than scrape interval", "lower it or raise scrape_interval"},
	} {
		if strings.Contains(problem, known.part) {
			return known.hint
		}
	}
	return ""
}

// parseDuration reads what Prometheus and what Go write: 1d, 5m, 1h0m0s, 1.5h.
func parseDuration(text string) (time.Duration, error) {
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration", text)
	case d < 0:
		return 0, errors.New("a duration must not be negative")
	}
	return d, nil
}

// normalizeDuration rewrites a duration in the form that the YAML decoder knows for time.Duration.
func (d *document) normalizeDuration(n *yaml.Node, t reflect.Type) {
	if t != reflect.TypeFor[time.Duration]() {
		return
	}
	duration, err := parseDuration(n.Value)
	if err != nil {
		d.reject(n, err.Error(), "write it like 30s, 5m or 1h30m")
		return
	}
	n.Value, n.Tag, n.Style = duration.String(), "!!str", 0
}

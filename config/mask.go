package config

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	promcommon "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

const (
	masked         = "<secret>"
	maskedPassword = "xxxxx"
	maskedComment  = "# (a comment that may hold a secret)"
)

// Masked is the instance's text for people to read, without its secrets. See MaskInstance.
func (i *Instance) Masked() string { return maskOrRefuse(MaskInstance(i.Text)) }

// Masked is the agent's file for people to read, without its secrets, after variables were expanded. See MaskInstance.
func (a *Agent) Masked() string {
	return maskOrRefuse(maskText(a.text, reflect.TypeFor[agentFile]()))
}

func maskOrRefuse(text string, err error) string {
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return text
}

// MaskInstance returns an instance's text, which need not be valid, without its secrets. Each is replaced by <secret>: values of
// the types that hold secrets, values under keys that sound like one, and everything under keys that are not known.
// Passwords and secret parameters in URLs become xxxxx. Comments stay unless they could hold a secret. It fails on text that
// is not YAML.
func MaskInstance(text string) (string, error) {
	return maskText(text, reflect.TypeFor[instanceFile]())
}

func maskText(text string, t reflect.Type) (string, error) {
	d := parseDocument("", text, nil)
	if len(d.errs) > 0 {
		return "", errors.New("this text cannot be shown without its secrets: it is not valid YAML")
	}
	if d.root == nil {
		return "", nil
	}
	m := masker{d}
	m.mask(d.root, t)
	tidyComments(d.parsed)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(d.parsed); err != nil {
		return "", err
	}
	return b.String(), nil
}

// masker decides over the expanded tree, where each value has its type, and writes into the tree that is shown.
type masker struct{ *document }

func (m masker) mask(n *yaml.Node, t reflect.Type) {
	if !m.fits(n, t) {
		m.hide(n)
		return
	}
	m.schema.visit(n, t, func(k keyAt) bool {
		if !m.fits(k.value, k.t) || holdsSecret(k.t) || soundsSecret(k.key.Value) && !m.isHarmless(k) {
			m.hide(k.value)
			return false
		}
		m.urls(k.value)
		return true
	})
}

// fits says whether the schema knows what a value is. Where it does not, nothing can be said about secrets.
func (m masker) fits(n *yaml.Node, t reflect.Type) bool {
	if t == nil {
		return false
	}
	sh := m.schema.of(t)
	switch n.Kind {
	case yaml.MappingNode:
		return sh.form == formStruct || sh.form == formMap
	case yaml.SequenceNode:
		return sh.form == formList && !slices.ContainsFunc(n.Content, func(item *yaml.Node) bool { return !m.fits(item, sh.elem) })
	}
	return sh.form == formLeaf || isNull(n)
}

// isHarmless says whether a key that sounds secret has a value that can't be one: a number, a switch, or a block of which each
// key is looked at for itself.
func (m masker) isHarmless(k keyAt) bool {
	t := k.t
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64, reflect.Float64:
		return true
	}
	return !k.free && m.schema.of(t).form == formStruct && k.value.Kind == yaml.MappingNode
}

// hide masks every value below n.
func (m masker) hide(n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode:
		for i, c := range n.Content {
			if n.Kind == yaml.SequenceNode || i%2 == 1 {
				m.hide(c)
			}
		}
	case !isEmpty(n):
		m.write(n, masked)
	}
}

// urls masks the passwords in a value's URLs, or in those of a list of values.
func (m masker) urls(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			m.urls(item)
		}
		return
	}
	if shown := maskURLs(n.Value); n.Kind == yaml.ScalarNode && shown != n.Value {
		m.write(n, shown)
	}
}

func (m masker) write(n *yaml.Node, value string) {
	if source := m.origin[n]; source != nil {
		source.Value, source.Tag, source.Style = value, "!!str", 0
	}
}

// holdsSecret says whether a type is Prometheus' Secret, or a list or map of them.
func holdsSecret(t reflect.Type) bool {
	for {
		switch {
		case t == reflect.TypeFor[promcommon.Secret]():
			return true
		case t.Kind() == reflect.Slice, t.Kind() == reflect.Map, t.Kind() == reflect.Pointer:
			t = t.Elem()
		default:
			return false
		}
	}
}

// soundsSecret says whether a word, a key or the name of a header or parameter, announces a secret. Keys that say where a secret is to be
// found, and those that only describe one, don't.
func soundsSecret(word string) bool {
	word = strings.ToLower(word)
	for _, suffix := range []string{"_file", "_files", "_path", "_ref", "_url", "_id", "_type", "_arn", "_method", "_name"} {
		if strings.HasSuffix(word, suffix) {
			return false
		}
	}
	for _, sound := range []string{"pass", "pwd", "secret", "token", "credential", "auth", "apikey", "api_key", "api-key", "private", "cookie", "assertion"} {
		if strings.Contains(word, sound) {
			return true
		}
	}
	return word == "key" || word == "sig" || strings.HasSuffix(word, "signature") || strings.HasSuffix(word, "_key") || strings.HasSuffix(word, "-key")
}

// maskURLs masks passwords and secret parameters of the URLs in a text.
func maskURLs(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	// The user part ends at the last @ before the path; a password with a bare slash ends at the last @ at all.
	text = regexp.MustCompile(`(://[^:/?#@\s]*):([^/?#\s]*|\S*)@`).ReplaceAllString(text, "${1}:"+maskedPassword+"@")
	return regexp.MustCompile(`([?&#;])([^=&#;\s]+)=([^&#;\s]*)`).ReplaceAllStringFunc(text, func(parameter string) string {
		name, _, _ := strings.Cut(parameter[1:], "=")
		if !soundsSecret(name) {
			return parameter
		}
		return parameter[:1] + name + "=" + maskedPassword
	})
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// tidyComments takes out comments that could hold a secret: such as mention one, and such as are commented-out keys.
func tidyComments(n *yaml.Node) {
	for _, comment := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if *comment == "" {
			continue
		}
		lines := strings.Split(*comment, "\n")
		for i, line := range lines {
			if strings.ContainsAny(line, ":=@") || slices.ContainsFunc(words(line), soundsSecret) {
				lines[i] = maskedComment
			}
		}
		*comment = strings.Join(slices.Compact(lines), "\n")
	}
	if isMerge(n) {
		n.Tag = "" // else the encoder writes "!!merge <<"
	}
	for _, c := range n.Content {
		tidyComments(c)
	}
}

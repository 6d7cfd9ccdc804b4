package config

import (
	"bytes"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"

	promcommon "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/redact"
)

const maskedComment = "# (a comment that may hold a secret)"

// Masked is the instance's text for people to read, without its secrets. See MaskInstance.
func (i *Instance) Masked() string { return maskOrRefuse(MaskInstance(i.Text)) }

// Masked is the agent's file for people to read, without its secrets, after variables were
// expanded. See MaskInstance.
func (a *Agent) Masked() string {
	return maskOrRefuse(maskText(a.text, reflect.TypeFor[agentFile]()))
}

func maskOrRefuse(text string, err error) string {
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return text
}

// MaskInstance returns an instance's text, which need not be valid, without its secrets. Each is
// replaced by <secret>: values of the types that hold secrets, values under keys that sound like
// one, and everything under keys that are not known. Of URLs, parameters, headers and labels that
// is shown of which package redact says so. Comments stay unless they could hold a secret. It fails
// on text that is not YAML.
func MaskInstance(text string) (string, error) {
	return maskText(text, reflect.TypeFor[instanceFile]())
}

func maskText(text string, t reflect.Type) (string, error) {
	d := parseDocument("", text, nil, 0)
	if len(d.errs) > 0 {
		return "", errors.New("this text cannot be shown without its secrets: it is not valid YAML")
	}
	if d.root == nil {
		return "", nil
	}
	m := masker{document: d}
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

// masker decides over the expanded tree, where each value has its type, and writes into the tree
// that is shown.
type masker struct {
	*document
	found *[]string // gets what is masked; nil: nobody wants to know
}

func (m masker) mask(n *yaml.Node, t reflect.Type) {
	if !m.fits(n, t) {
		m.hide(n)
		return
	}
	m.schema.visit(n, t, func(k keyAt) bool {
		if !m.fits(k.value, k.t) || holdsSecret(k.t) || k.verdict == secret || redact.SoundsSecret(k.key.Value) && !m.isHarmless(k) {
			m.hide(k.value)
			return false
		}
		m.urls(k)
		return true
	})
}

// fits says whether the schema knows what a value is. Where it does not, nothing can be said about
// secrets.
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

// isHarmless says whether a key that sounds secret has a value that can't be one: a number, a
// switch, or a block of which each key is looked at for itself.
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
		m.write(n, redact.Mark)
	}
}

// urls masks what may not be shown of a value, or of each of a list of values.
func (m masker) urls(k keyAt) {
	if k.value.Kind == yaml.SequenceNode {
		for _, item := range k.value.Content {
			one := k
			one.value = item
			m.urls(one)
		}
		return
	}
	if k.value.Kind != yaml.ScalarNode || isEmpty(k.value) {
		return
	}
	if shown := m.valueOf(k); shown != k.value.Value {
		m.write(k.value, shown)
	}
}

// valueOf is what of a single value may be shown.
func (m masker) valueOf(k keyAt) string {
	value := k.value.Value
	switch {
	case k.verdict == parameters && k.free:
		return redact.Parameter(k.key.Value, value)
	case k.verdict == headers && k.free:
		return redact.Header(k.key.Value, value)
	case k.verdict == labelSet && k.free:
		return redact.Label(k.key.Value, value)
	case k.verdict == address:
		return redact.Address(value)
	case k.verdict == rewritten:
		if target := child(k.in, "target_label"); target != nil && redact.Relabeled(target.Value) {
			return redact.Mark
		}
	}
	return redact.Text(value)
}

// Secrets are the values of the instance's text that Masked does not show, for those who have to
// find them in other texts.
func (i *Instance) Secrets() []string {
	d := parseDocument("", i.Text, nil, 0)
	if d.root == nil {
		return nil
	}
	var found []string
	masker{d, &found}.mask(d.root, reflect.TypeFor[instanceFile]())
	return found
}

// partsOf are the secrets in a value of which something is masked: a URL's user, password and
// parameters, or all of it.
func partsOf(value string) []string {
	if host := strings.LastIndexByte(value, '@'); host >= 0 && !strings.Contains(value, "://") {
		user, password, _ := strings.Cut(value[:host], ":")
		return []string{value[:host], user, password}
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return []string{value}
	}
	parts := []string{u.Fragment}
	if u.User != nil {
		password, _ := u.User.Password()
		parts = append(parts, u.User.Username(), password, u.User.String())
	}
	for name, values := range u.Query() {
		for _, value := range values {
			if redact.Parameter(name, value) != value {
				parts = append(parts, value)
			}
		}
	}
	return parts
}

func (m masker) write(n *yaml.Node, value string) {
	if m.found != nil {
		*m.found = append(*m.found, partsOf(n.Value)...)
	}
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

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// tidyComments takes out comments that could hold a secret: such as mention one, and such as are
// commented-out keys.
func tidyComments(n *yaml.Node) {
	for _, comment := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if *comment == "" {
			continue
		}
		lines := strings.Split(*comment, "\n")
		for i, line := range lines {
			if strings.ContainsAny(line, ":=@") || slices.ContainsFunc(words(line), redact.SoundsSecret) {
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

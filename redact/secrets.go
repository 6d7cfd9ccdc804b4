package redact

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// minSecretBytes is the length from which on a secret is looked for in texts. A shorter one is
// found in words that have nothing to do with it, and guards nothing.
const minSecretBytes = 5

// Secrets hides values that are known to be secret, for texts whose shape says nothing about them:
// a server may repeat what it was sent. Immutable; the zero value hides nothing but what Text does.
type Secrets struct{ replacer *strings.Replacer }

// NewSecrets takes the values as users wrote them. They are also found as URLs, headers and quoted
// texts have them.
func NewSecrets(values []string) Secrets {
	forms := map[string]struct{}{}
	for _, value := range values {
		value = strings.TrimSpace(value)
		quoted := strconv.Quote(value)
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value), quoted[1 : len(quoted)-1], base64.StdEncoding.EncodeToString([]byte(value))} {
			if len(form) >= minSecretBytes && form != Mark && form != urlMark {
				forms[form] = struct{}{}
			}
		}
	}
	// The longest first, so that no rest of it is left by a shorter one inside.
	var pairs []string
	for _, form := range slices.SortedFunc(func(yield func(string) bool) {
		for form := range forms {
			if !yield(form) {
				return
			}
		}
	}, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) }) {
		pairs = append(pairs, form, Mark)
	}
	return Secrets{strings.NewReplacer(pairs...)}
}

// Text renders a text as the function Text does, and without the secrets.
func (s Secrets) Text(text string) string {
	if s.replacer != nil {
		text = s.replacer.Replace(text)
	}
	return Text(text)
}

// Package redact decides what of a URL, a header, a label, a parameter or an error may leave the
// process: in a log, a metric, a page, an answer or a bundle. It is the only place that decides it.
//
// It goes by lists of what may be shown. Whatever is on none of them is replaced by Mark: users put
// secrets into parameters, headers and paths of their own choosing, whose names nobody can list.
//
// The package imports nothing of ours, keeps no state, and any goroutine may call it. Tests:
// tables, and a fuzzer that looks for a known secret in what comes out.
package redact

import (
	"bytes"
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Mark stands for what is not shown.
const Mark = "<secret>"

// urlMark is Mark where it is a part of a URL, in which < and > would be escaped.
const urlMark = "xxxxx"

// maxURLBytes is how much of a URL is shown. Longer ones are cut.
const maxURLBytes = 2048

// URL renders a URL without its user, its fragment, and the values of parameters that are not known
// to be harmless. nil is "".
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	return URLText(u.String())
}

// URLText does the same for a text that need not be a valid URL. One without "://" stays as it is.
func URLText(text string) string {
	if len(text) > maxURLBytes {
		text = text[:maxURLBytes]
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found || !strings.ContainsAny(text, "@?#%") {
		return text
	}
	rest, _, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	var b strings.Builder
	b.WriteString(scheme + "://")
	// A user part may hold what no valid one does, a slash or a question mark. So it ends at the
	// last @ there is.
	if at := strings.LastIndexByte(query, '@'); at >= 0 && !hasHost(rest) {
		return scheme + "://" + urlMark + "@" + urlMark
	}
	b.WriteString(withoutUser(rest))
	if hasQuery {
		b.WriteString("?" + Query(query))
	}
	if hasFragment {
		b.WriteString("#" + urlMark)
	}
	return b.String()
}

// withoutUser takes the user and the password from a text that begins with a host. Where a URL was
// made of such a text its @ is escaped.
func withoutUser(text string) string {
	authority, _, _ := strings.Cut(text, "/")
	if at := strings.LastIndex(authority, "%40"); at >= 0 {
		text = urlMark + "@" + text[at+len("%40"):]
	}
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return urlMark + text[at:]
	}
	return text
}

// hasHost says whether what is before the question mark of a URL begins with a host, rather than
// with a user and a part of a password.
func hasHost(rest string) bool {
	authority, _, hasPath := strings.Cut(rest, "/")
	host, port, hasPort := strings.Cut(authority, ":")
	isIPv6 := strings.HasPrefix(authority, "[")
	return hasPath && host != "" && (!hasPort || isIPv6 || strings.Trim(port, "0123456789") == "")
}

// Query renders the part of a URL behind the question mark.
func Query(query string) string {
	if query == "" {
		return ""
	}
	parts := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, part := range parts {
		name, value, assigned := strings.Cut(part, "=")
		decoded, err := url.QueryUnescape(value)
		plainName, nameErr := url.QueryUnescape(name)
		switch {
		case !assigned || nameErr != nil || !isWord(plainName):
			parts[i] = urlMark
		case err != nil || Parameter(plainName, decoded) != decoded:
			parts[i] = name + "=" + urlMark
		}
	}
	return strings.Join(parts, "&")
}

// isWord says whether a parameter's name is one that people choose.
func isWord(name string) bool {
	return len(name) <= 64 && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter, digit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z', r >= '0' && r <= '9'
		return !letter && !digit && !strings.ContainsRune("_-.[]", r)
	})
}

// Parameter returns the value of a URL's parameter, or Mark if it may not be shown.
func Parameter(name, value string) string {
	if value == "" {
		return value
	}
	switch strings.ToLower(name) {
	case "match[]", "collect[]", "name[]", "exclude[]", "format", "module", "modules", "db", "rp", "precision", "consistency",
		"extra_label", "api-version", "version", "timeout", "stale", "target", "scheme", "port", "protocol", "resource", "audience":
		return plainValue(value)
	}
	return Mark
}

// Header returns the value of an HTTP header, or Mark if it may not be shown.
func Header(name, value string) string {
	if value == "" {
		return value
	}
	switch strings.ToLower(name) {
	case "accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding", "content-length",
		"content-type", "date", "etag", "host", "retry-after", "server", "user-agent", "vary", "x-scope-orgid",
		"x-prometheus-remote-write-version", "x-prometheus-scrape-timeout-seconds":
		return plainValue(value)
	}
	return Mark
}

// Label returns the value of a target's label, or Mark if it may not be shown. Labels that are sent
// to receivers are for all to see, unless their names announce a secret; of the reserved ones, only
// those are that Prometheus gives a meaning to.
func Label(name, value string) string {
	if value == "" {
		return value
	}
	if parameter, ok := strings.CutPrefix(name, "__param_"); ok {
		return Parameter(parameter, value)
	}
	if SoundsSecret(name) {
		return Mark
	}
	known := !strings.HasPrefix(name, "__") || strings.HasPrefix(name, "__meta_") || strings.HasPrefix(name, "__scrape_")
	switch name {
	case "__always_scrape_classic_histograms__", "__convert_classic_histograms_to_nhcb__", "__address__", "__scheme__", "__metrics_path__", "__name__", "__host__", "__unix_socket__":
		known = true
	}
	if !known {
		return Mark
	}
	return plainValue(value)
}

// plainValue shows a value, and hides it as a whole if it holds a user and a password, or a URL of
// which anything is hidden.
func plainValue(value string) string {
	if before, _, found := strings.Cut(value, "@"); found && strings.ContainsRune(before, ':') || Text(value) != value {
		return Mark
	}
	return value
}

// Address renders an address, which may be a URL, without its user and secret parameters.
func Address(value string) string {
	if strings.Contains(value, "://") {
		return Text(value)
	}
	return withoutUser(value)
}

// Value returns a value that may be an address, or Mark if it has a user or a secret parameter.
func Value(value string) string { return plainValue(value) }

// Relabeled reports whether what a relabelling rule writes into a label may not be shown.
func Relabeled(target string) bool { return Label(target, "x") != "x" }

// The shapes of secrets in a free text.
const (
	// In quotes a URL may hold blanks. A backslash escapes.
	quotedURL = `"(?:[^"\\]|\\.)*://(?:[^"\\]|\\.)*"`
	bareURL   = `[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>` + "`" + `]+`
	// A user and a password before a host, without a scheme. Only in quotes: names may have both signs.
	quotedUser = `"[^"\s]*:[^"\s]*@[^"\s]*"`
	// How net/url quotes the part it dislikes, which may be a part of a password.
	parseError = `(invalid port|invalid URL escape|invalid character|invalid host|invalid userinfo)( in \S+)? "(?:[^"\\]|\\.)*"`
	// The value of an Authorization header.
	authorization = `\b(?:Bearer|bearer|BEARER|Basic|ApiKey) [A-Za-z0-9+/=_.~-]{6,}`
)

var secretShapes = regexp.MustCompile("(" + quotedURL + ")|(" + bareURL + ")|(" + parseError + ")|(" + authorization + ")|(" + quotedUser + ")")

// Text renders a free text, such as a message, with every URL in it redacted, and what else has the shape of a secret.
func Text(text string) string {
	if !strings.Contains(text, "://") && !strings.ContainsRune(text, '@') && !hasShape(text) {
		return text
	}
	return secretShapes.ReplaceAllStringFunc(text, redactShape)
}

// IsPlain says, cheaply, that nothing in a text can have to be hidden, or in any value of a text
// made of several. It may say no without need.
func IsPlain(text []byte) bool {
	if bytes.IndexByte(text, '@') >= 0 || bytes.Contains(text, []byte("://")) {
		return false
	}
	for _, shape := range shapes {
		if bytes.Contains(text, shape) {
			return false
		}
	}
	return true
}

// shapes are what hasShape looks for.
var shapes = [][]byte{[]byte("invalid "), []byte("earer "), []byte("EARER "), []byte("Basic "), []byte("ApiKey ")}

// hasShape is a cheap test for shapes without :// and @.
func hasShape(text string) bool {
	if strings.Contains(text, "invalid ") {
		return true
	}
	for _, word := range []string{"earer ", "EARER ", "Basic ", "ApiKey "} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func redactShape(found string) string {
	switch {
	case found[0] == '"' && strings.Contains(found, "://"):
		at := strings.Index(found, "://")
		from := strings.LastIndexFunc(found[:at], func(r rune) bool { return !isSchemeRune(r) }) + 1
		return found[:from] + strings.TrimSuffix(URLText(strings.TrimSuffix(found[from:], `"`)), `"`) + `"`
	case strings.Contains(found, "://"):
		// What closes a sentence is not the URL's.
		trimmed := strings.TrimRight(found, ".,;:)]}")
		return URLText(trimmed) + found[len(trimmed):]
	case strings.HasPrefix(found, "invalid "):
		before, _, _ := strings.Cut(found, `"`)
		return before + `"` + urlMark + `"`
	case found[0] == '"':
		return `"` + urlMark + found[strings.LastIndexByte(found, '@'):]
	}
	word, _, _ := strings.Cut(found, " ")
	return word + " " + urlMark
}

func isSchemeRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '.' || r == '-'
}

// Error is err with a text that may leave the process. It wraps err. nil stays nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if known := (redacted{}); errors.As(err, &known) && known.text == err.Error() {
		return err
	}
	return redacted{err: err, text: Text(err.Error())}
}

// redacted has a text of its own, made once: some errors are asked for it often.
type redacted struct {
	err  error
	text string
}

func (r redacted) Error() string { return r.text }
func (r redacted) Unwrap() error { return r.err }

// SoundsSecret says whether a word, be it a key or the name of a label, announces a secret. Words
// that say where a secret is to be found, and those that only describe one, don't.
func SoundsSecret(word string) bool {
	word = strings.ToLower(word)
	for _, suffix := range []string{"_file", "_files", "_path", "_ref", "_url", "_id", "_type", "_arn", "_method", "_name"} {
		if strings.HasSuffix(word, suffix) {
			return false
		}
	}
	for _, sound := range []string{"pass", "pwd", "secret", "token", "credential", "auth", "apikey", "api_key", "api-key", "private", "cookie", "assertion", "jwt"} {
		if strings.Contains(word, sound) {
			return true
		}
	}
	return word == "key" || word == "sig" || strings.HasSuffix(word, "signature") || strings.HasSuffix(word, "_key") || strings.HasSuffix(word, "-key")
}

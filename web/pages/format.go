package pages

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// functions are what templates may call.
func (p *Pages) functions() template.FuncMap {
	return template.FuncMap{
		"ago":     p.ago,
		"until":   p.until,
		"instant": Instant,
		"count":   Count,
		"plural":  Plural,
		"bytes":   Bytes,
		"percent": Percent,
		"seconds": Seconds,
		"cut":     Cut,
		"name":    Name,
		"link":    Link,
		"asset":   func(file string) string { return p.addresses[file] },
		"tone":    Tone,
		"lines":   func(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") },
	}
}

// ago says how long ago an instant was, with the instant itself on hover.
func (p *Pages) ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return moment(t, Duration(p.now().Sub(t))+" ago")
}

// until says how far in the future an instant is.
func (p *Pages) until(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	if left := t.Sub(p.now()); left > 0 {
		return moment(t, "in "+Duration(left))
	}
	return moment(t, "now")
}

func moment(t time.Time, text string) template.HTML {
	at := Instant(t)
	return template.HTML(`<time datetime="` + at + `" title="` + at + `">` + template.HTMLEscapeString(text) + `</time>`) //nolint:gosec // escaped
}

// Instant is a time in UTC; nothing if it is not known.
func Instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Duration is a length of time in one or two units: 12 s, 3 min, 2 h 5 min, 4 d 3 h.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 24*time.Hour:
		return two(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	default:
		return two(int(d/(24*time.Hour)), "d", int(d%(24*time.Hour)/time.Hour), "h")
	}
}

func two(n int, unit string, m int, smaller string) string {
	if m == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, m, smaller)
}

// Seconds is a lag or a duration given in seconds.
func Seconds(s float64) string {
	switch {
	case s <= 0:
		return "0 s"
	case s < 1:
		return strconv.Itoa(int(math.Ceil(s*1000))) + " ms"
	case s < 10:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return Duration(time.Duration(s * float64(time.Second)))
}

// Count writes a number of any integer type in groups of three digits. A pointer to one may be nil: 0.
func Count(n any) string {
	value := reflect.ValueOf(n)
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return "0"
		}
		value = value.Elem()
	}
	text := fmt.Sprint(value.Interface())
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// Plural is a number and what is counted: 1 target, 2 targets.
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + one + "s"
}

// Bytes is a size.
func Bytes(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, i := float64(n), 0
	for size >= 1024 && i < len(units)-1 {
		size /= 1024
		i++
	}
	if i == 0 {
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[i]
}

// Percent is a part of one.
func Percent(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) + " %" }

// Cut bounds a text.
func Cut(longest int, text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// longestWord is how many characters of a name may stand without a place where a line may end.
const longestWord = 28

// Name is a name or an address that may be broken into lines where people would break it: after a
// slash, a dot and the like, and not in the middle of a word.
func Name(text string) template.HTML {
	var b strings.Builder
	word := 0
	for i, c := range text {
		if i > 0 && word > 0 && (strings.ContainsRune("/._@=,;+~", rune(text[i-1])) && !strings.ContainsRune("/._@=,;+~", c) || word >= longestWord) {
			b.WriteString("<wbr>")
			word = 0
		}
		b.WriteString(template.HTMLEscapeString(string(c)))
		if word++; c == ' ' || c == '-' { // a line may end there anyway
			word = 0
		}
	}
	return template.HTML(b.String()) //nolint:gosec // escaped above
}

// Link is a path with parameters, given as name and value by turns. Empty values are left out.
func Link(path string, parameters ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			query.Set(parameters[i], parameters[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// ConfigPath is where a config's page is.
func ConfigPath(name string) string { return "/configs/" + url.PathEscape(name) }

// Tone is the class of a state: what is wrong, what waits, what is well.
func Tone(state string) string {
	switch strings.ToLower(state) {
	case "down", "failed", "quarantined", "unowned", "refused", "failing", "unhealthy", "dead", "invalid", "unreachable", "unclaimed":
		return "wrong"
	case "waiting", "preparing", "moving", "draining", "unknown", "joining", "leaving", "lagging", "new", "held", "dropped":
		return "late"
	case "running", "up", "active", "alive", "ok", "claimed", "accepted", "kept", "local":
		return "well"
	}
	return "plain"
}

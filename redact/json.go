package redact

import (
	"bytes"
	"encoding/json"
)

// JSON renders a valid JSON text with each of its strings, keys included, as Text renders it. It
// returns text itself if nothing changes.
func JSON(text []byte) []byte {
	var out []byte // nil: as text up to here
	copied := 0
	for at := 0; at < len(text); at++ {
		if text[at] != '"' {
			continue
		}
		end := stringEnd(text, at)
		if changed, differs := redactString(text[at:end]); differs {
			out = append(append(out, text[copied:at]...), changed...)
			copied = end
		}
		at = end - 1
	}
	if out == nil {
		return text
	}
	return append(out, text[copied:]...)
}

// stringEnd is behind the closing quote of the string that begins at start.
func stringEnd(text []byte, start int) int {
	for at := start + 1; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}

// redactString takes a string in its quotes.
func redactString(quoted []byte) (changed []byte, differs bool) {
	var value string
	if err := json.Unmarshal(quoted, &value); err != nil {
		return nil, false
	}
	shown := Text(value)
	if shown == value {
		return nil, false
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(shown); err != nil {
		return []byte(`"` + urlMark + `"`), true
	}
	return bytes.TrimRight(b.Bytes(), "\n"), true
}

package cluster

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxConfigText is the most text that a stored value may expand to: sixteen times what the API accepts, and far less than
// what a few KiB of malicious gzip could become.
const maxConfigText = 16 << 20

// gzipMagic is how every gzip stream begins (RFC 1952, section 2.3.1).
const gzipMagic = "\x1f\x8b"

// encodeConfig is the stored form of a config's text: gzip, with no name and no time in it, so that equal texts are
// equal values.
func encodeConfig(text string) ([]byte, error) {
	if len(text) > maxConfigText {
		return nil, fmt.Errorf("the config has %d bytes, the limit is %d", len(text), maxConfigText)
	}
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// Writing to a bytes.Buffer can't fail.
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return buf.Bytes(), nil
}

// configDecoder is the reverse of encodeConfig. It is worth reusing: the state of a gzip reader has 40 KB. It is strict, since a value that is half understood would run half a config:
// the value must be complete gzip with nothing behind it, and the text UTF-8. Its errors tell an operator what is in the store.
type configDecoder struct {
	in bytes.Reader
	gz gzip.Reader
}

func (d *configDecoder) decode(value []byte) (string, error) {
	if len(value) == 0 {
		return "", errors.New("the value is empty; a config is stored as gzip of its YAML")
	}
	if !bytes.HasPrefix(value, []byte(gzipMagic)) {
		return "", fmt.Errorf("the value is not gzip (it begins with %q); a config is stored as gzip of its YAML, "+
			"use the API or agentctl config-sync to write it", value[:min(len(value), 24)])
	}
	d.in.Reset(value)
	if err := d.gz.Reset(&d.in); err != nil {
		return "", fmt.Errorf("read gzip header: %w", err)
	}
	var text strings.Builder
	n, err := io.Copy(&text, io.LimitReader(&d.gz, maxConfigText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the gzip is damaged after %d bytes of text: %w", n, err)
	case n > maxConfigText:
		return "", fmt.Errorf("the value expands to more than %d bytes", maxConfigText)
	case !utf8.ValidString(text.String()):
		return "", errors.New("the text is not UTF-8")
	}
	return text.String(), nil
}

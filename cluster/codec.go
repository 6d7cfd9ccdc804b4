package cluster

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// maxConfigText is the most text that a stored value may expand to: sixteen times what the API
// accepts, and far less than what a few KiB of malicious gzip could become.
const maxConfigText = 16 << 20

// gzipMagic is how every gzip stream begins (RFC 1952, section 2.3.1).
const gzipMagic = "\x1f\x8b"

// inserted marks, in the gzip header's extra field (RFC 1952, section 2.3.1.1), the bytes of the
// text that are not the user's: the subfield's name, its length, then offset and length in 32 bits
// each, all little-endian.
const inserted = "RM\x08\x00"

// encodeConfig is the stored form of a config: gzip of its text, with the time of writing in the
// header, to the second. Other readers of gzip, Grafana Agent among them, don't mind the header.
//
// The writer is worth reusing: it has 800 KB of state.
func encodeConfig(w *gzip.Writer, d Document, written time.Time) ([]byte, error) {
	if size := len(d.Text) + len(d.Insert); size > maxConfigText {
		return nil, fmt.Errorf("the config has %d bytes, the limit is %d", size, maxConfigText)
	}
	if d.At < 0 || d.At > len(d.Text) {
		return nil, fmt.Errorf("byte %d is not in a text of %d bytes", d.At, len(d.Text))
	}
	var buf bytes.Buffer
	w.Reset(&buf)
	w.ModTime = written
	if d.Insert != "" {
		w.Extra = binary.LittleEndian.AppendUint32([]byte(inserted), uint32(d.At))
		w.Extra = binary.LittleEndian.AppendUint32(w.Extra, uint32(len(d.Insert)))
	}
	// Writing to a bytes.Buffer can't fail.
	for _, part := range []string{d.Text[:d.At], d.Insert, d.Text[d.At:]} {
		_, _ = io.WriteString(w, part)
	}
	_ = w.Close()
	return buf.Bytes(), nil
}

// ownText takes out of a text what its header says was inserted.
func ownText(text string, extra []byte) (string, error) {
	mark, found := bytes.CutPrefix(extra, []byte(inserted))
	if !found {
		return text, nil
	}
	if len(mark) < 8 {
		return "", errors.New("the header's mark of what was inserted is cut off")
	}
	from := uint64(binary.LittleEndian.Uint32(mark))
	to := from + uint64(binary.LittleEndian.Uint32(mark[4:]))
	if to > uint64(len(text)) {
		return "", fmt.Errorf("the header says that bytes %d to %d were inserted, and the text has %d", from, to, len(text))
	}
	return text[:from] + text[to:], nil
}

// configDecoder is the reverse of encodeConfig. It is worth reusing: the state of a gzip reader has
// 40 KB. It is strict, since a value that is half understood would run half a config: the value
// must be complete gzip with nothing behind it, and the text UTF-8. Its errors tell an operator
// what is in the store.
type configDecoder struct {
	in     bytes.Reader
	gz     gzip.Reader
	copied [4 << 10]byte
}

// decode returns the text, and when it was written, by the clock of who wrote it: zero if he has
// not said so.
func (d *configDecoder) decode(value []byte) (text string, written time.Time, err error) {
	if len(value) == 0 {
		return "", written, errors.New("the value is empty; a config is stored as gzip of its YAML")
	}
	if !bytes.HasPrefix(value, []byte(gzipMagic)) {
		return "", written, fmt.Errorf("the value is not gzip (it begins with %q); a config is stored as gzip of its YAML, "+
			"use the API or agentctl config-sync to write it", value[:min(len(value), 24)])
	}
	d.in.Reset(value)
	if err := d.gz.Reset(&d.in); err != nil {
		return "", written, fmt.Errorf("read gzip header: %w", err)
	}
	if at := d.gz.ModTime; !at.IsZero() {
		written = at.UTC() // equal times have to be equal values
	}
	var b strings.Builder
	n, err := io.CopyBuffer(&b, io.LimitReader(&d.gz, maxConfigText+1), d.copied[:])
	switch {
	case err != nil:
		return "", time.Time{}, fmt.Errorf("the gzip is damaged after %d bytes of text: %w", n, err)
	case n > maxConfigText:
		return "", time.Time{}, fmt.Errorf("the value expands to more than %d bytes", maxConfigText)
	case !utf8.ValidString(b.String()):
		return "", time.Time{}, errors.New("the text is not UTF-8")
	}
	if text, err = ownText(b.String(), d.gz.Extra); err != nil {
		return "", time.Time{}, err
	}
	return text, written, nil
}

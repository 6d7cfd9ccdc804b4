package consulstore

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// escape begins a byte that JSON can't carry, because it is not part of a UTF-8 sequence; two hex
// digits follow. An escape in a key is escaped, too.
const escape = 0x1a

// encodeKey returns the key as Consul has it.
func encodeKey(key string) string {
	if utf8.ValidString(key) && strings.IndexByte(key, escape) < 0 {
		return key
	}
	var b strings.Builder
	for i := 0; i < len(key); {
		r, size := utf8.DecodeRuneInString(key[i:])
		if r == escape || r == utf8.RuneError && size == 1 {
			b.WriteByte(escape)
			b.WriteString(hex.EncodeToString([]byte{key[i]}))
		} else {
			b.WriteString(key[i : i+size])
		}
		i += size
	}
	return b.String()
}

// decodeKey is the reverse of encodeKey. It returns false for what encodeKey never returns: such a
// key was written by someone else, and no Store can name it.
func decodeKey(stored string) (string, bool) {
	if strings.IndexByte(stored, escape) < 0 {
		return stored, utf8.ValidString(stored)
	}
	var b strings.Builder
	for i := 0; i < len(stored); i++ {
		if stored[i] != escape {
			b.WriteByte(stored[i])
			continue
		}
		if i+3 > len(stored) {
			return "", false
		}
		c, err := hex.DecodeString(stored[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	return b.String(), encodeKey(b.String()) == stored
}

// urlPrefix returns the beginning of prefix that may be part of a URL, wherever Consul and proxies
// have an opinion on that: whole path segments of harmless characters, then one that looks like no
// file's name. Everything under prefix is also under urlPrefix(prefix).
func urlPrefix(prefix string) string {
	harmless := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(",-_./", r)
	}
	if rest := strings.TrimLeftFunc(prefix, harmless); rest != "" {
		prefix = prefix[:len(prefix)-len(rest)]
	}
	for start := 0; ; {
		segment, _, more := strings.Cut(prefix[start:], "/")
		switch {
		case more && (segment == "" || segment == "." || strings.Contains(segment, "..")):
			return prefix[:start]
		case !more && strings.Contains(segment, "."):
			return prefix[:start]
		case !more:
			return prefix
		}
		start += len(segment) + 1
	}
}

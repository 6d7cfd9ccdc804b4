package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes is the longest name of a config, in bytes.
const maxNameBytes = 253

// ValidateName says whether a config may have this name: 1 to 253 bytes of valid UTF-8, no control or
// unseen characters, and no
// segment (between slashes) that is "." or "..".
func ValidateName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > maxNameBytes:
		return fmt.Errorf("the name has %d bytes, %d are allowed", len(name), maxNameBytes)
	case !utf8.ValidString(name):
		return errors.New("the name is not valid UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name has a control character")
	case strings.ContainsFunc(name, isUnseen):
		return errors.New("the name has a character that is not seen, or changes the order of others")
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("the name has the segment %q", segment)
		}
	}
	return nil
}

// isUnseen says whether a character is drawn as nothing or turns the writing round, so that two
// names look the same or one reads as another.
func isUnseen(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// maxPlainDirectory is the longest escaped name that is used as it is. A longer one is cut and
// given a hash. File systems allow 255 bytes; some room is left for suffixes of temporary files.
const maxPlainDirectory = 180

// DirectoryName turns a config's name into the name of one directory. Lower-case letters, digits,
// '-', '_' and inner dots stay; every other byte becomes %xx, upper-case letters too, so that two
// names differ also on file systems that ignore case. What gets too long is cut and ends in '~' and
// 160 bits of SHA-256; '~' appears in no other name. Any string is allowed; the result is never
// empty, "." or "..".
func DirectoryName(configName string) string {
	if configName == "" {
		return "~"
	}
	var b strings.Builder
	for i := range len(configName) {
		c := configName[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		case c == '.' && i > 0 && i < len(configName)-1:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	escaped := b.String()
	if len(escaped) <= maxPlainDirectory {
		return escaped
	}
	sum := sha256.Sum256([]byte(configName))
	return escaped[:maxPlainDirectory-40] + "~" + hex.EncodeToString(sum[:20])
}

// NameOfDirectory is the inverse of DirectoryName. It reports false for what is no name of a
// directory, and for one that was cut.
func NameOfDirectory(directory string) (configName string, ok bool) {
	name, err := url.PathUnescape(directory)
	if err != nil || DirectoryName(name) != directory || strings.Contains(directory, "~") {
		return "", false
	}
	return name, true
}

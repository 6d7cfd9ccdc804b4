package remotewrite

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	promconfig "github.com/prometheus/prometheus/config"
)

// CursorIDs returns, for each remote_write block of an instance, the identity under which the log keeps its cursor. It survives a changed
// password, header or queue setting, since a changed secret must not send everything again or skip what waits: a block that the user
// named is that name, any other is its URL without the password and its position among the blocks with the same URL. IDs are short,
// lower case, and usable as file names.
//
// A name is taken for an automatic one if it has the form <instance>-<six hex digits>, because those contain a hash of the whole block.
func CursorIDs(instance string, configs []*promconfig.RemoteWriteConfig) []string {
	ids := make([]string, 0, len(configs))
	equal := map[string]int{}
	for _, c := range configs {
		if c.Name != "" && !automatic(instance, c.Name) {
			ids = append(ids, "name-"+shortHash(c.Name))
			continue
		}
		address := withoutPassword(c.URL.URL)
		ids = append(ids, "url-"+shortHash(address)+"-"+strconv.Itoa(equal[address]))
		equal[address]++
	}
	return ids
}

func automatic(instance, name string) bool {
	hash, ok := strings.CutPrefix(name, instance+"-")
	if !ok || len(hash) != 6 {
		return false
	}
	return strings.Trim(hash, "0123456789abcdef") == ""
}

func withoutPassword(u *url.URL) string {
	plain := *u
	if u.User != nil {
		plain.User = url.User(u.User.Username())
	}
	return plain.String()
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

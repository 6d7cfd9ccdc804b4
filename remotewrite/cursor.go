package remotewrite

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"

	promconfig "github.com/prometheus/prometheus/config"
)

// CursorIDs returns, for each remote_write block of an instance, the identity under which the log
// keeps its cursor. It survives a changed password or queue setting. When a person repairs more
// (the address, the name, a header), the identity changes, and Inherit finds out from the
// identities alone whose place the block goes on from: each consists of hashes of the block's name,
// its URL without the password, its headers and its host, and of its position among blocks for
// which all of these are equal.
//
// A name is taken for an automatic one, which says nothing, if it has the form <instance>-<six hex
// digits>.
func CursorIDs(instance string, configs []*promconfig.RemoteWriteConfig) []string {
	ids := make([]string, 0, len(configs))
	equal := map[string]int{}
	for _, c := range configs {
		name := "-"
		if c.Name != "" && !automatic(instance, c.Name) {
			name = shortHash(c.Name)
		}
		id := strings.Join([]string{"v2", name, shortHash(withoutPassword(c.URL.URL)), shortHash(headersOf(c)), shortHash(c.URL.Host)}, ".")
		ids = append(ids, id+"."+strconv.Itoa(equal[id]))
		equal[id]++
	}
	return ids
}

// Inherit returns, for identities that the log does not know, the known ones from which they go on:
// each of those that are in the log and not configured any more is given to one that is alike, the
// most alike first; those that are left, if they are as many as the new ones, one to one in order.
// What is not in the result starts at the end of the log.
func Inherit(instance string, configs []*promconfig.RemoteWriteConfig, known []string) map[string]string {
	inherited := map[string]string{}
	configured, first := CursorIDs(instance, configs), firstCursorIDs(instance, configs)
	var added, removed []string
	for i, id := range configured {
		switch {
		case slices.Contains(known, id):
		case slices.Contains(known, first[i]):
			inherited[id] = first[i]
			known = slices.DeleteFunc(slices.Clone(known), func(k string) bool { return k == first[i] })
		default:
			added = append(added, id)
		}
	}
	for _, id := range known {
		if id != "" && !slices.Contains(configured, id) {
			removed = append(removed, id)
		}
	}
	type pair struct {
		from, to string
		alike    int
	}
	var pairs []pair
	for _, to := range added {
		for _, from := range removed {
			if n := alike(from, to); n > 0 {
				pairs = append(pairs, pair{from, to, n})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.alike, a.alike) })
	give := func(to, from string) {
		inherited[to] = from
		added = slices.DeleteFunc(added, func(id string) bool { return id == to })
		removed = slices.DeleteFunc(removed, func(id string) bool { return id == from })
	}
	for _, p := range pairs {
		if slices.Contains(added, p.to) && slices.Contains(removed, p.from) {
			give(p.to, p.from)
		}
	}
	if len(added) == len(removed) {
		for len(added) > 0 {
			give(added[0], removed[0])
		}
	}
	return inherited
}

// firstCursorIDs are the identities that logs of the first version have.
func firstCursorIDs(instance string, configs []*promconfig.RemoteWriteConfig) []string {
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

// alike tells how much two identities have in common: the name counts most, then the URL, the
// headers, and the host.
func alike(a, b string) (n int) {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	if len(x) != len(y) || len(x) != 6 || x[0] != y[0] {
		return 0
	}
	for i, weight := range []int{0, 8, 4, 2, 1, 0} {
		if x[i] == y[i] && x[i] != "-" && (i != 3 || x[4] == y[4]) {
			n += weight
		}
	}
	return n
}

// headersOf is what tells tenants at one URL apart.
func headersOf(c *promconfig.RemoteWriteConfig) string {
	var all []string
	for name, value := range c.Headers {
		all = append(all, strings.ToLower(name)+":"+value)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
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

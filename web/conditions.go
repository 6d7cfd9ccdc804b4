package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// errUnmatchable says that a condition can't hold for any revision: 412 without asking the store.
var errUnmatchable = errors.New("precondition failed")

func entityTag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// tags is the value of If-Match or If-None-Match.
type tags struct {
	any  bool // *
	list []tag
}

type tag struct {
	value string // with its quotes
	weak  bool
}

// parseTags reads a list of entity tags (RFC 9110, 8.8.3 and 13.1). An absent header gives the zero
// value.
func parseTags(h http.Header, name string) (tags, error) {
	rest := strings.TrimSpace(strings.Join(h.Values(name), ","))
	if rest == "*" {
		return tags{any: true}, nil
	}
	var t tags
	for rest != "" {
		one := tag{}
		rest, one.weak = strings.CutPrefix(rest, "W/")
		end := strings.IndexByte(strings.TrimPrefix(rest, `"`), '"')
		if !strings.HasPrefix(rest, `"`) || end < 0 {
			return tags{}, fmt.Errorf(`%s: want * or quoted entity tags such as "12"`, name)
		}
		one.value, rest = rest[:end+2], strings.TrimLeft(rest[end+2:], " \t")
		t.list = append(t.list, one)
		if rest != "" && rest[0] != ',' {
			return tags{}, fmt.Errorf("%s: want a comma between entity tags", name)
		}
		rest = strings.TrimLeft(rest, ", \t")
	}
	return t, nil
}

func (t tags) empty() bool { return !t.any && len(t.list) == 0 }

// writeCondition turns a write's headers into what must hold in the store. errUnmatchable if
// nothing can satisfy them; any other error is the client's mistake.
func writeCondition(h http.Header) (cluster.Condition, error) {
	var none cluster.Condition
	match, err := parseTags(h, "If-Match")
	if err != nil {
		return none, err
	}
	noneMatch, err := parseTags(h, "If-None-Match")
	if err != nil {
		return none, err
	}
	switch {
	case !match.empty() && !noneMatch.empty():
		return none, errors.New("If-Match and If-None-Match exclude each other on a write")
	case noneMatch.any:
		return cluster.Condition{Absent: true}, nil
	case !noneMatch.empty():
		return none, errors.New("If-None-Match: a write takes only *")
	case match.any:
		return cluster.Condition{Present: true}, nil
	case len(match.list) > 1:
		return none, errors.New("If-Match: a write takes one entity tag")
	case len(match.list) == 1:
		revision, err := strconv.ParseInt(strings.Trim(match.list[0].value, `"`), 10, 64)
		if err != nil || revision <= 0 || match.list[0].weak {
			return none, errUnmatchable
		}
		return cluster.Condition{Revision: revision}, nil
	}
	return none, nil
}

// readStatus decides a read's conditions: 200, 304 (the client has it), 412, or 400 with an error.
func readStatus(h http.Header, etag string) (int, error) {
	match, err := parseTags(h, "If-Match")
	if err != nil {
		return http.StatusBadRequest, err
	}
	noneMatch, err := parseTags(h, "If-None-Match")
	if err != nil {
		return http.StatusBadRequest, err
	}
	if !match.empty() && !match.any && !match.has(etag, false) {
		return http.StatusPreconditionFailed, nil
	}
	if noneMatch.any || noneMatch.has(etag, true) {
		return http.StatusNotModified, nil
	}
	return http.StatusOK, nil
}

// has compares weakly (W/ is ignored) or strongly, as the header in question demands.
func (t tags) has(etag string, weakly bool) bool {
	for _, one := range t.list {
		if one.value == etag && (weakly || !one.weak) {
			return true
		}
	}
	return false
}

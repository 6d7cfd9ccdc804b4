package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// unitFilter passes units that the node should run or runs, that are in the state, and whose
// config's name begins with prefix; what is empty passes everything.
func unitFilter(node, state, prefix string) (func(Unit) bool, error) {
	if err := oneOf("state", state, UnitClaimed, UnitMoving, UnitUnclaimed, UnitHeld, UnitLocal); err != nil {
		return nil, err
	}
	return func(u Unit) bool {
		return (node == "" || u.Owner == node || u.ClaimedBy == node) &&
			(state == "" || u.State == state) &&
			strings.HasPrefix(u.Config, prefix)
	}, nil
}

// targetStates are the states of a target, worst first.
var targetStates = []string{"down", "unknown", "up"}

// targetSorts are what targets can be sorted by.
var targetSorts = map[string]func(clusterTarget) string{
	"state":  func(t clusterTarget) string { return ordinal(slices.Index(targetStates, t.State)) },
	"target": func(t clusterTarget) string { return t.Endpoint },
	"config": func(t clusterTarget) string { return t.Instance },
	"job":    func(t clusterTarget) string { return t.TargetGroup },
	"node":   func(t clusterTarget) string { return t.Node },
	// Most is first: people look for the slow and the large.
	"scraped": func(t clusterTarget) string { return quantity(uint64(max(t.LastScrape.UnixMilli(), 0))) },
	"took":    func(t clusterTarget) string { return quantity(^uint64(max(t.ScrapeDurationMS, 0))) },
	"samples": func(t clusterTarget) string { return quantity(^uint64(max(t.Samples, 0))) },
}

// targetFilter passes targets of the instance, the job, the node, with the label and with the
// words; what is empty passes everything.
func targetFilter(query url.Values) (func(clusterTarget) bool, error) {
	instance, job, node, words := query.Get("instance"), query.Get("job"), query.Get("node"), wordsOf(query.Get("q"))
	name, value, isPair := strings.Cut(query.Get("label"), "=")
	if query.Get("label") != "" && !isPair {
		return nil, errors.New("label: want name=value")
	}
	value = strings.Trim(value, `"`)
	return func(t clusterTarget) bool {
		return (instance == "" || t.Instance == instance) && (job == "" || t.TargetGroup == job) && (node == "" || t.Node == node) &&
			(!isPair || t.Labels.Get(name) == value) && (len(words) == 0 || words.in(t.texts))
	}, nil
}

// texts hands over what is searched of a target.
func (t clusterTarget) texts(found func(string) bool) bool {
	if found(t.Endpoint) || found(t.Instance) || found(t.TargetGroup) || found(t.ScrapeError) || found(t.Node) {
		return true
	}
	matched := false
	t.Labels.Range(func(l labels.Label) { matched = matched || found(l.Value) })
	return matched
}

// words are what a person searches for: each has to be in one of the texts, whatever its case.
type words []string

func wordsOf(text string) words { return strings.Fields(strings.ToLower(text)) }

// in asks texts, which hands over one text after the other until found says yes.
func (w words) in(texts func(found func(string) bool) bool) bool {
	for _, word := range w {
		if !texts(func(text string) bool { return strings.Contains(strings.ToLower(text), word) }) {
			return false
		}
	}
	return true
}

// amid is for things with a fixed number of texts.
func (w words) amid(texts ...string) bool {
	return w.in(func(found func(string) bool) bool { return slices.ContainsFunc(texts, found) })
}

// instanceFilter passes everything, or those that are or are not quarantined.
func instanceFilter(quarantined string) (func(Instance) bool, error) {
	if err := oneOf("quarantined", quarantined, "true", "false"); err != nil {
		return nil, err
	}
	return func(i Instance) bool {
		return quarantined == "" || i.Quarantined == (quarantined == "true")
	}, nil
}

// The values of parameters that ask whether something is so.
const (
	yes = "yes"
	no  = "no"
)

// oneOf refuses a parameter that is neither empty nor one of the values.
func oneOf(parameter, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("%s: want one of %s", parameter, strings.Join(values, ", "))
}

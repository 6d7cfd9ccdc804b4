package difftest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
)

// diff returns what differs, or "".
func (s scenario) diff(stock, own *trace) string {
	var out strings.Builder
	for _, broken := range own.broken {
		fmt.Fprintf(&out, "own loop: %s\n", broken)
	}
	for _, target := range keys(stock.committed, own.committed) {
		a, b := stock.committed[target], own.committed[target]
		if s.losesMarkers() {
			a, b = withoutCache(a), withoutCache(b)
		}
		for i := range max(len(a), len(b)) {
			if s.keepsCache {
				forgiveEnds(at(a, i), at(b, i))
				forgiveMemory(at(a, i), at(b, i))
			}
			diffLines(&out, fmt.Sprintf("transaction %d of target %s", i, target), at(a, i), forgive(at(a, i), at(b, i)))
		}
	}
	for _, address := range keys(stock.requests, own.requests) {
		a, b := stock.requests[address], own.requests[address]
		if s.asksAgain {
			a, b = slices.Compact(slices.Clone(a)), slices.Compact(slices.Clone(b))
		}
		diffLines(&out, "requests to "+address, a, b)
	}
	if s.losesMarkers() {
		diffLines(&out, "targets", onlyTargets(stock.shown), onlyTargets(own.shown))
	} else {
		diffLines(&out, "targets and metadata", stock.shown, own.shown)
	}
	switch {
	case s.keepsCache:
		diffOpen(&out, stock, own)
	case s.moves():
		s.diffMarkers(&out, stock, own)
	default:
		s.diffEnded(&out, stock, own)
	}
	return out.String()
}

// moves reports whether this project's scraper hands over to another.
func (s scenario) moves() bool {
	return slices.ContainsFunc(s.steps, func(step step) bool { return step.move })
}

// losesMarkers reports whether the loops may write markers at other times, and count other series
// as new.
func (s scenario) losesMarkers() bool { return s.keepsCache || s.moves() }

// diffMarkers compares how many markers each series has, and which are open at the end.
func (s scenario) diffMarkers(out *strings.Builder, stock, own *trace) {
	for _, series := range keys(stock.open, own.open) {
		_, inStock := stock.open[series]
		_, inOwn := own.open[series]
		if inStock != inOwn && (inOwn || !s.jobRemoved) {
			fmt.Fprintf(out, "series %s: open is %t in stock, %t in own\n", series, inStock, inOwn)
		}
	}
	for _, series := range keys(stock.markersOf, own.markersOf) {
		if a, b := stock.markersOf[series], own.markersOf[series]; a != b && (!s.jobRemoved || a != 0 || b != 1) {
			fmt.Fprintf(out, "series %s: %d markers in stock, %d in own\n", series, a, b)
		}
	}
}

// diffEnded compares which series were ended outside of scrapes.
func (s scenario) diffEnded(out *strings.Builder, stock, own *trace) {
	ended := own.ended
	if s.jobRemoved {
		ended = slices.DeleteFunc(slices.Clone(ended), func(series string) bool { return !slices.Contains(stock.ended, series) })
	}
	if !slices.Equal(stock.ended, ended) {
		diffLines(out, "ended series", stock.ended, ended)
		writeLines(out, "for this stock appended", stock.markers)
		writeLines(out, "for this own appended", own.markers)
	}
}

// diffOpen compares which series are open at the end, if what ended them may differ. Series that
// Prometheus has forgotten without ending them need not be open. Where the last body breaks off,
// those of its first part go on in both loops, but a reload by which Prometheus forgets them ends
// them there.
func diffOpen(out *strings.Builder, stock, own *trace) {
	for _, series := range keys(stock.open, own.open) {
		last, inStock := stock.open[series]
		_, inOwn := own.open[series]
		switch {
		case inStock && !inOwn && last >= stock.end:
			fmt.Fprintf(out, "series %s has ended, and goes on in stock\n", series)
		case inOwn && !inStock && !endsInFailure(own.committed):
			fmt.Fprintf(out, "series %s has not ended, but has in stock\n", series)
		}
	}
}

// endsInFailure reports whether the last scrape of a target failed.
func endsInFailure(committed map[string][][]string) bool {
	for _, transactions := range committed {
		if len(transactions) > 0 && strings.Contains(line(transactions[len(transactions)-1], "up"), " (0) ") {
			return true
		}
	}
	return false
}

// withoutCache leaves out what depends on what a loop knows of earlier scrapes.
func withoutCache(transactions [][]string) [][]string {
	var kept [][]string
	for _, lines := range transactions {
		kept = append(kept, slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return strings.Contains(line, " 7ff0000000000002 (NaN) @") || strings.HasPrefix(line, `{__name__="scrape_series_added"`)
		}))
	}
	return kept
}

// forgiveEnds leaves out what became of samples, with old timestamps of their own, that one of the
// loops has appended after it had ended their series because of a reload, which the other does
// later or never.
func forgiveEnds(a, b []string) {
	for i := range min(len(a), len(b)) {
		if strings.HasSuffix(a[i], afterEnd) || strings.HasSuffix(b[i], afterEnd) {
			a[i], _, _ = strings.Cut(a[i], " refused: ")
			b[i], _, _ = strings.Cut(b[i], " refused: ")
		}
	}
}

// said takes a line apart: what is before its metadata, the family, the type, unit and help, and what
// is behind.
var said = regexp.MustCompile(`^(.*) family=("(?:[^"\\]|\\.)*") type=(\S*) unit=("(?:[^"\\]|\\.)*") help=("(?:[^"\\]|\\.)*")(.*)$`)

// forgiveMemory leaves out of own lines what the target has said of a family before a reload by which
// Prometheus has forgotten it, and not since.
func forgiveMemory(stock, own []string) {
	for i := range min(len(stock), len(own)) {
		a, b := said.FindStringSubmatch(stock[i]), said.FindStringSubmatch(own[i])
		if a == nil || b == nil || a[1] != b[1] || a[2] != b[2] || a[6] != b[6] {
			continue
		}
		for part, nothing := range map[int]string{3: string(model.MetricTypeUnknown), 4: `""`, 5: `""`} {
			if a[part] == nothing {
				b[part] = nothing
			}
		}
		own[i] = fmt.Sprintf("%s family=%s type=%s unit=%s help=%s%s", b[1], b[2], b[3], b[4], b[5], b[6])
	}
}

// forgive takes metadata away from own lines where Prometheus has none because it keeps the name of
// a protobuf family in a buffer that the parser has filled with the next series: it finds the name
// there again unless a label sorts before it.
func forgive(stock, own []string) []string {
	misplaced := func(line string) bool { return !strings.HasPrefix(line, `{__name__=`) }
	if len(stock) != len(own) || !slices.ContainsFunc(stock, misplaced) {
		return own
	}
	forgiven := slices.Clone(own)
	for i, line := range own {
		if bare := withoutMetadata(line); bare == stock[i] {
			forgiven[i] = bare
		}
	}
	return forgiven
}

// onlyTargets leaves out metadata, of which a loop without its cache knows less.
func onlyTargets(shown []string) []string {
	return slices.DeleteFunc(slices.Clone(shown), func(line string) bool { return strings.Contains(line, ": metadata ") })
}

func withoutMetadata(line string) string {
	from, to := strings.Index(line, " family="), strings.LastIndex(line, " refused: ")
	switch {
	case from < 0:
		return line
	case to < from:
		return line[:from]
	default:
		return line[:from] + line[to:]
	}
}

func at(transactions [][]string, i int) []string {
	if i < len(transactions) {
		return transactions[i]
	}
	return nil
}

func keys[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

// diffLines writes the lines between the common beginning and the common end, a few of each side.
func diffLines(out *strings.Builder, what string, stock, own []string) {
	if slices.Equal(stock, own) {
		return
	}
	first := 0
	for first < min(len(stock), len(own)) && stock[first] == own[first] {
		first++
	}
	last := 0
	for last < min(len(stock), len(own))-first && stock[len(stock)-1-last] == own[len(own)-1-last] {
		last++
	}
	fmt.Fprintf(out, "%s differ from line %d on (%d lines, own loop %d):\n", what, first, len(stock), len(own))
	writeLines(out, "stock", stock[first:len(stock)-last])
	writeLines(out, "own  ", own[first:len(own)-last])
}

func writeLines(out *strings.Builder, side string, lines []string) {
	const most, width = 12, 1000
	for i, line := range lines {
		if i == most {
			fmt.Fprintf(out, "  %s … and %d more\n", side, len(lines)-most)
			return
		}
		fmt.Fprintf(out, "  %s %s\n", side, line[:min(len(line), width)])
	}
}

package pages

import (
	"html/template"
	"net/url"
	"strings"
)

// List is a part of a listing, and what a person can do to it.
type List struct {
	// Path and Query are the address, Query without the place in the listing.
	Path  string
	Query url.Values
	// What is the plural of what is listed, Empty why there is nothing.
	What, Empty string
	Columns     []Column
	// Tabs choose one value of the parameter Tab.
	Tab  string
	Tabs []Tab
	// Filters are further parameters.
	Filters []Filter
	Rows    []template.HTML
	// Total is how many there are on all parts.
	Total int
	// Next is the place of the next part; empty: this is the last. Later: this is not the first.
	Next  string
	Later bool
	// Action and ActionLink are what else a person may want to do here. Empty: nothing.
	Action, ActionLink string
	// Sort is by what it is sorted, with a minus in front for the opposite order; empty: as it is
	// without.
	Sort string
}

// Column is one of a table. Sort is the value of the parameter that sorts by it; empty: nothing does.
type Column struct {
	Label, Sort string
	Number      bool
}

// Tab is a value that is chosen by a click, with how many there are.
type Tab struct {
	Value, Label string
	Count        int
}

// Filter is a parameter that is typed, or chosen if there are Options.
type Filter struct {
	Name, Label, Hint string
	Options           []string
}

// with is the address with one parameter changed.
func (l List) with(name, value string) string {
	query := url.Values{}
	for k, v := range l.Query {
		if k != "after" && len(v) > 0 && v[0] != "" {
			query[k] = v
		}
	}
	if value == "" {
		query.Del(name)
	} else {
		query.Set(name, value)
	}
	if len(query) == 0 {
		return l.Path
	}
	return l.Path + "?" + query.Encode()
}

// TabLink is where a click on a tab leads.
func (l List) TabLink(t Tab) string { return l.with(l.Tab, t.Value) }

// Chosen says whether the tab is the one that is shown.
func (l List) Chosen(t Tab) bool { return l.Query.Get(l.Tab) == t.Value }

// SortLink sorts by a column, or the other way round if it is sorted by it.
func (l List) SortLink(c Column) string {
	if l.Sort == c.Sort {
		return l.with("sort", "-"+c.Sort)
	}
	return l.with("sort", c.Sort)
}

// Sorted is what screen readers are told of a column.
func (l List) Sorted(c Column) string {
	switch {
	case c.Sort == "" || strings.TrimPrefix(l.Sort, "-") != c.Sort:
		return ""
	case strings.HasPrefix(l.Sort, "-"):
		return "descending"
	default:
		return "ascending"
	}
}

// NextLink leads to the next part, FirstLink back to the first.
func (l List) NextLink() string  { return l.with("after", l.Next) }
func (l List) FirstLink() string { return l.with("after", "") }

// Value is what a filter is set to.
func (l List) Value(name string) string { return l.Query.Get(name) }

// Kept are the parameters that the form has to carry along.
func (l List) Kept() map[string]string {
	kept := map[string]string{}
	for _, name := range []string{l.Tab, "sort", "limit"} {
		if value := l.Query.Get(name); name != "" && value != "" {
			kept[name] = value
		}
	}
	return kept
}

// Narrowed says whether anything but the order is asked for.
func (l List) Narrowed() bool {
	for name, values := range l.Query {
		if name != "sort" && name != "limit" && name != "after" && name != "format" && len(values) > 0 && values[0] != "" {
			return true
		}
	}
	return false
}

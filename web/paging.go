package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds of ?limit=.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// keySeparator parts the strings of a cursor. It is in no name, URL or label that can be stored.
const keySeparator = "\x00"

// pageRequest says which part of a listing is asked for. A listing is ordered by a key for each
// item, a list of strings of one length.
type pageRequest struct {
	limit int
	// after is the key of the last item of the page before; nil for the first page.
	after []string
}

// listing is the shape of every answer that is paged.
type listing[T any] struct {
	// Node is who answers.
	Node  string `json:"node"`
	Items []T    `json:"items"`
	// Total is how many items there are on all pages.
	Total int `json:"total"`
	// Next is what to give as ?after= for the next page. Empty: this is the last.
	Next string `json:"next,omitempty"`
}

// readPage reads ?limit= and ?after=. Keys have keyLength strings.
func readPage(query url.Values, keyLength int) (pageRequest, error) {
	limit, err := readLimit(query)
	if err != nil {
		return pageRequest{}, err
	}
	after, err := decodeCursor(query.Get("after"), keyLength)
	return pageRequest{limit: limit, after: after}, err
}

func readLimit(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fmt.Errorf("limit: want a number from 1 to %d", maxLimit)
	}
	return limit, nil
}

// encodeCursor makes a key into what a client may hand back and need not understand.
func encodeCursor(key []string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(key, keySeparator)))
}

// decodeCursor is the inverse of encodeCursor; an empty text is no key.
func decodeCursor(text string, keyLength int) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	joined, err := base64.RawURLEncoding.DecodeString(text)
	key := strings.Split(string(joined), keySeparator)
	if err != nil || len(key) != keyLength {
		return nil, errors.New("after: this is not what an answer gave as next")
	}
	return key, nil
}

// pageOf returns those of the items that are on the page, in the order of their keys, and the
// cursor of the next page if there is one. What it returns is never nil. It keeps no more than some
// pages' worth at a time, however many items there are.
func pageOf[T any](items []T, key func(T) []string, p pageRequest) (page []T, next string) {
	type keyed struct {
		key  []string
		item T
	}
	wanted := p.limit + 1
	best := make([]keyed, 0, min(len(items), 2*wanted))
	var worst []string // nothing from here on can be on the page
	shorten := func() {
		slices.SortStableFunc(best, func(a, b keyed) int { return slices.Compare(a.key, b.key) })
		if len(best) > wanted {
			clear(best[wanted:])
			best = best[:wanted]
			worst = best[wanted-1].key
		}
	}
	for _, item := range items {
		k := key(item)
		if p.after != nil && slices.Compare(k, p.after) <= 0 || worst != nil && slices.Compare(k, worst) >= 0 {
			continue
		}
		if best = append(best, keyed{k, item}); len(best) >= 2*wanted {
			shorten()
		}
	}
	shorten()
	if len(best) > p.limit {
		next = encodeCursor(best[p.limit-1].key)
		best = best[:p.limit]
	}
	page = make([]T, 0, len(best))
	for _, k := range best {
		page = append(page, k.item)
	}
	return page, next
}

// reversed turns the order of texts round.
func reversed(text string) string {
	turned := make([]byte, len(text)+1)
	for i := range len(text) {
		turned[i] = ^text[i]
	}
	turned[len(text)] = 0xff
	return string(turned)
}

// ordinal is a number as part of a key, so that 10 comes after 9.
func ordinal(n int) string { return fmt.Sprintf("%08d", n) }

// quantity is a number as part of a key, of any size.
func quantity(n uint64) string { return fmt.Sprintf("%020d", n) }

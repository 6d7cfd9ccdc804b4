package web

import (
	"context"
	"net/http"
	"sync"
)

// memoKey marks the context of a request whose answers to Once are kept.
type memoKey struct{}

// memo is what was asked while one request is answered. A page is then about one moment, and what
// costs as much as there are configs is done once.
type memo struct {
	mu    sync.Mutex
	known map[any]any
}

// remember lets Once keep answers while this request is answered.
func remember(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), memoKey{}, &memo{known: map[any]any{}}))
}

// Once returns what get returns, and for the same key once more without asking it again until the
// request that ctx is of has been answered. Errors are not kept. What it returns is shared: nobody
// may change it. Without a request, it asks every time.
func Once[T any](ctx context.Context, key any, get func() (T, error)) (T, error) {
	if known, ok := Known[T](ctx, key); ok {
		return known, nil
	}
	got, err := get()
	if m, ok := ctx.Value(memoKey{}).(*memo); ok && err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.known[key] = got
	}
	return got, err
}

// Known returns what Once has kept for the key.
func Known[T any](ctx context.Context, key any) (known T, ok bool) {
	m, remembers := ctx.Value(memoKey{}).(*memo)
	if !remembers {
		return known, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok = m.known[key].(T)
	return known, ok
}

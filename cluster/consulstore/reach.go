package consulstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// remindEvery is how often the log repeats that Consul can't be reached.
const remindEvery = 30 * time.Second

// aftermath is how long after an outage what fails may still be of it.
const aftermath = 2 * time.Second

// errNoAnswer is why a request ends that took longer than the client's time-out.
var errNoAnswer = errors.New("no answer within the HTTP client timeout")

// reach tells the log whether Consul can be reached. It hears of every request; renewals of
// sessions and watches see to it that there are some.
type reach struct {
	where  string
	logger *zap.Logger

	mu       sync.Mutex
	lost     time.Time // zero while Consul answers
	found    time.Time // the end of the last outage
	reminded time.Time
	told     string // what was logged last
	// begun is the number of the newest request, proven that of the newest that was answered. One
	// that began before it and fails says nothing any more.
	begun, proven uint64
}

// begin returns the number of a request that is about to be made.
func (r *reach) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	return r.begun
}

// observe takes the outcome of one request. A status below 500 is an answer, even if it is a
// refusal. What the caller broke off says nothing.
func (r *reach) observe(number uint64, req *http.Request, resp *http.Response, err error) {
	switch {
	case err == nil && resp.StatusCode < http.StatusInternalServerError:
		r.answered(number)
	case err == nil:
		r.failed(number, troubled, statusError(resp))
	case req.Context().Err() == nil:
		r.failed(number, unreachable, explain(err))
	case errors.Is(context.Cause(req.Context()), errNoAnswer):
		r.failed(number, unreachable, errNoAnswer)
	}
}

// What the log says while Consul doesn't do what it is asked for: it can't be reached, or it, or a
// proxy before it, answers with a status of 500 or above.
const (
	unreachable = "consul can't be reached; nothing is concluded from that, all is tried again"
	troubled    = "consul answers with an error; nothing is concluded from that, all is tried again"
)

// maxReason is how much of an answer's body the log gets.
const maxReason = 512

// statusError reads the reason from the body of an answer, and puts it back.
func statusError(resp *http.Response) error {
	begin, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), resp.Body), resp.Body}
	if reason := strings.TrimSpace(string(begin)); reason != "" {
		return fmt.Errorf("HTTP status %d: %s", resp.StatusCode, reason)
	}
	return fmt.Errorf("HTTP status %d", resp.StatusCode)
}

func (r *reach) answered(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proven = max(r.proven, number)
	if r.lost.IsZero() {
		return
	}
	r.logger.Info("consul answers again", zap.String("store", r.where), zap.Duration("duration", time.Since(r.lost)))
	r.lost, r.reminded, r.found = time.Time{}, time.Time{}, time.Now()
}

func (r *reach) failed(number uint64, message string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.proven {
		return
	}
	now := time.Now()
	if r.lost.IsZero() {
		r.lost = now
	}
	if message == r.told && !r.reminded.IsZero() && now.Sub(r.reminded) < remindEvery {
		return
	}
	r.reminded, r.told = now, message
	r.logger.Warn(message,
		zap.String("store", r.where), zap.Duration("duration", now.Sub(r.lost)), zap.NamedError("err", err))
}

// away reports whether the log has the reason of a failure already.
func (r *reach) away() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost.IsZero() || time.Since(r.found) < aftermath
}

// complaints logs why something that is done again and again fails, once per reason. It says
// nothing while reach has the reason, and nothing of a first failure: a request that waited when
// Consul went away breaks before any newer one has met the outage.
type complaints struct {
	store    *Store
	message  string
	failures int // in a row
	told     string
}

func (c *complaints) succeeded() { c.failures, c.told = 0, "" }

func (c *complaints) failed(ctx context.Context, err error, fields ...zap.Field) {
	if ctx.Err() != nil {
		return
	}
	c.failures++
	if text := err.Error(); c.failures > 1 && text != c.told && !c.store.reach.away() {
		c.told = text
		c.store.logger.Warn(c.message, append(fields, zap.NamedError("err", err))...)
	}
}

// explain returns an error without what the message around it says anyway.
func explain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the method and the URL
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens there: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the connection broke before the answer: %w", err)
	default:
		return err
	}
}

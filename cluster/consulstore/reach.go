package consulstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// reach tells the log whether Consul can be reached. It hears of every request; renewals of sessions and watches see to it
// that there are some.
type reach struct {
	where  string
	logger *zap.Logger

	mu       sync.Mutex
	lost     time.Time // zero while Consul answers
	found    time.Time // the end of the last outage
	reminded time.Time
	// begun is the number of the newest request, proven that of the newest that was answered. One that began before it and fails says
	// nothing any more.
	begun, proven uint64
}

// begin returns the number of a request that is about to be made.
func (r *reach) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	return r.begun
}

// observe takes the outcome of one request. A status below 500 is an answer, even if it is a refusal. What the caller broke
// off says nothing.
func (r *reach) observe(number uint64, req *http.Request, resp *http.Response, err error) {
	switch {
	case err == nil && resp.StatusCode < http.StatusInternalServerError:
		r.answered(number)
	case err == nil:
		r.failed(number, fmt.Errorf("HTTP status %d", resp.StatusCode))
	case req.Context().Err() == nil:
		r.failed(number, explain(err))
	case errors.Is(context.Cause(req.Context()), errNoAnswer):
		r.failed(number, errNoAnswer)
	}
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

func (r *reach) failed(number uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.proven {
		return
	}
	now := time.Now()
	if r.lost.IsZero() {
		r.lost = now
	}
	if !r.reminded.IsZero() && now.Sub(r.reminded) < remindEvery {
		return
	}
	r.reminded = now
	r.logger.Warn("consul can't be reached; nothing is concluded from that, all is tried again",
		zap.String("store", r.where), zap.Duration("duration", now.Sub(r.lost)), zap.NamedError("err", err))
}

// away reports whether the log has the reason of a failure already.
func (r *reach) away() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost.IsZero() || time.Since(r.found) < aftermath
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

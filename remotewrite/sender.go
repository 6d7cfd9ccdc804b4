package remotewrite

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// sender delivers batches to one receiver. Several lanes use it at once.
type sender struct {
	destination *destination
	url         string
	header      http.Header
	timeout     time.Duration
	pace        pace
	rules       rules
	// ageLimit is sample_age_limit; 0 means none.
	ageLimit time.Duration
	// logsFailed is failed_request_logging.
	logsFailed bool
	logger     *zap.Logger
	// tracer makes a span of each request, with the names of instance and endpoint; nil: there are
	// none.
	tracer         trace.Tracer
	instance, name string

	ledger *ledger
	losses *lossLog
	calls  *calls
	// patience ends when the endpoint is closed: waits end at once, requests under way may finish.
	patience context.Context
	size     sizeBound

	mu       sync.Mutex
	suspects suspects
	// inVain is the number of searches in a row that found nothing acceptable.
	inVain int
}

func newSender(c EndpointConfig, d *destination, l *ledger, logger *zap.Logger) *sender {
	cfg, q := c.Config, &c.Config.QueueConfig
	return &sender{
		destination: d, name: cfg.Name, url: cfg.URL.String(), timeout: time.Duration(cfg.RemoteTimeout),
		header: http.Header{
			"Content-Encoding": {"snappy"},
			"User-Agent":       {d.owner.userAgent()},
		},
		pace:     pace{min: time.Duration(q.MinBackoff), max: time.Duration(q.MaxBackoff)},
		rules:    rules{retry429: q.RetryOnRateLimit, strict: c.StrictSpec},
		ageLimit: time.Duration(q.SampleAgeLimit), logsFailed: cfg.FailedRequestLogging,
		logger: logger, ledger: l, losses: newLossLog(logger), calls: newCalls(),
	}
}

// answer is what a request led to. status is 0 if there was no response.
type answer struct {
	status     int
	retryAfter time.Duration
	problem    string
	// written is what the receiver said that it wrote, if the protocol has that.
	written confirmation
}

// uncertain reports whether the receiver may have stored the request in spite of the answer.
func (a answer) uncertain() bool {
	return a.status == 0 || a.status/100 == 5 || a.status == http.StatusRequestTimeout ||
		a.status/100 != 2 && a.written.some()
}

// laterError ends a round early: the request has to be repeated after a while, and nothing of its
// batch is settled.
type laterError struct {
	verdict verdict
	answer  answer
}

func (e laterError) Error() string { return "to be repeated: " + e.answer.problem }

// deliver sends the batch, and comes back when every item was acknowledged or dropped and is booked
// in account. attempt is the number of requests that have failed with it; divided is called before
// a part of it is sent alone, once. The error is ctx's, a laterError, or says that the batch itself
// is broken.
func (s *sender) deliver(ctx context.Context, b *batch, attempt int, account *tally, divided func()) (troubled bool, err error) {
	b.bookLeftOut(account)
	d := &delivery{sender: s, batch: b, account: account, attempt: attempt, divided: divided}
	err = d.all(ctx)
	return d.troubled, err
}

// send posts one part until the receiver answers something final.
func (s *sender) send(ctx context.Context, d *delivery, p part) (_ verdict, retried bool, _ error) {
	b := d.batch
	for {
		if s.ageLimit > 0 {
			b.expire(p, time.Now().Add(-s.ageLimit).UnixMilli(), d.account)
		}
		body, n, err := b.bodyOf(p)
		if err != nil || n == 0 {
			return delivered, retried, err
		}
		if d.attempt > 0 {
			s.ledger.repeated(b.countOf(p))
		}
		a := s.post(ctx, b, body, d.attempt)
		if err := ctx.Err(); err != nil && a.status == 0 {
			return delivered, retried, err
		}
		v := s.rules.judge(a.status)
		if b.protocol.confirms {
			v = s.confirmed(v, a, body)
		}
		if v == splitSize && b.sizeOf(p) <= 2*minSizeLimit {
			v = retrySlowly
		}
		s.destination.answered(v, s.paceOf(v), a)
		switch v {
		case delivered, partly:
			d.attempt, d.written = 0, a.written
			s.size.took(b.sizeOf(p))
			s.destination.joiner.size.took(b.sizeOf(p)) // no common request may be small enough to tell
			if s.ledger.succeeded(len(body)) {
				s.logger.Info("remote write recovered")
			}
			if v == partly {
				s.ledger.noted(a.problem)
				s.losses.example(Rejected, func() (string, string) { return "", a.problem })
			}
			return v, retried, nil
		case speakOld:
			return v, true, d.speakOld(p, a)
		case retrySoon, retrySlowly:
			retried = true
			if a.uncertain() {
				b.doubt = true
				b.each(p, func(i int) { b.items[i].maybe = true })
				d.uncertain()
			}
			s.failed(v, a)
			if !d.touched {
				return v, retried, laterError{verdict: v, answer: a}
			}
			d.attempt++
			if err := s.calls.wait(s.patience, s.delay(v, d.attempt, a)); err != nil {
				return v, retried, err
			}
		default:
			d.attempt = 0
			s.ledger.noted(a.problem)
			return v, retried, nil
		}
	}
}

// logFailed shows a request of remote write 2.0 that was not taken, all of it: that is what
// failed_request_logging asks for.
func (s *sender) logFailed(body []byte, a answer) {
	if !s.logger.Core().Enabled(zap.DebugLevel) {
		return
	}
	var request writev2.Request
	plain, err := s2.Decode(nil, body)
	if err == nil {
		err = request.Unmarshal(plain)
	}
	s.logger.Debug("remote write 2.0 request failed", zap.Stringer("request", &request), zap.String("reason", a.problem), zap.Error(err))
}

// failed says once that requests fail from now on.
func (s *sender) failed(v verdict, a answer) {
	if !s.ledger.troubled(a.problem) {
		return
	}
	text := "remote write fails and is retried; samples wait in the log"
	if v == retrySlowly {
		text = "remote write is refused and retried slowly; check the address, the credentials and the protocol; samples wait in the log"
	}
	s.logger.Warn(text, zap.String("reason", a.problem))
}

// delay is the wait after attempt failed requests.
func (s *sender) delay(v verdict, attempt int, a answer) time.Duration {
	return s.paceOf(v).delay(attempt, a.retryAfter, rand.Float64())
}

func (s *sender) paceOf(v verdict) pace {
	if v == retrySlowly {
		return s.pace.slowed()
	}
	return s.pace
}

// post makes one request, with a span if it is traced.
func (s *sender) post(ctx context.Context, b *batch, body []byte, attempt int) answer {
	if s.tracer == nil {
		return s.request(ctx, b, body, attempt)
	}
	return s.traced(ctx, b, body, attempt)
}

func (s *sender) request(ctx context.Context, b *batch, body []byte, attempt int) answer {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reader := b.open(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, reader)
	if err != nil {
		_ = reader.Close()
		return answer{problem: fmt.Sprintf("create request: %v", err)}
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return b.open(body), nil }
	req.Header = s.header.Clone()
	req.Header.Set("Content-Type", b.protocol.contentType)
	req.Header.Set(remote.RemoteWriteVersionHeader, b.protocol.version)
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	if s.tracer != nil {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	}
	began := time.Now()
	resp, err := s.destination.client.Do(req)
	s.destination.owner.latency.Observe(time.Since(began).Seconds())
	if err != nil {
		return answer{problem: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	var written confirmation
	if b.protocol.confirms {
		written = confirmationOf(resp.Header)
	}
	if resp.StatusCode/100 == 2 {
		drain(resp.Body)
		return answer{status: resp.StatusCode, written: written}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	drain(resp.Body)
	return answer{
		status:     resp.StatusCode,
		written:    written,
		retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		problem:    fmt.Sprintf("server returned HTTP status %s: %s", resp.Status, strings.TrimSpace(string(text))),
	}
}

// drain reads what is left of a response, so that the connection is used again, unless it is
// suspiciously much.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, 64<<10) }

// dropped remembers one of the series that are given up, for the next line about that reason.
func (s *sender) dropped(b *batch, p part, reason Reason) {
	s.losses.example(reason, func() (series, problem string) {
		first := -1
		b.each(p, func(i int) {
			if first < 0 {
				first = i
			}
		})
		if first >= 0 && b.uncompress() == nil {
			series = describe(b.protocol.labelsOf(b, first))
		}
		return series, s.ledger.lastProblem()
	})
}

func (s *sender) suspect(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspects.add(key, time.Now())
}

func (s *sender) suspected(key uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.suspects.known[key]
	return ok
}

// hasSuspects reports whether some series are sent apart from the others.
func (s *sender) hasSuspects() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.suspects.known) > 0
}

func (s *sender) forgive(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspects.remove(key)
}

// hopelessAfter is how many refused series in a row end a search.
func (s *sender) hopelessAfter() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, hopeless>>min(s.inVain, 8))
}

// searched notes how a search ended: in vain makes the next one that finds nothing end sooner.
func (s *sender) searched(inVain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if inVain {
		s.inVain++
	} else {
		s.inVain = 0
	}
}

// calls wakes those who wait before they repeat a request.
type calls struct {
	mu    sync.Mutex
	woken chan struct{}
}

func newCalls() *calls { return &calls{woken: make(chan struct{})} }

// wait returns when d is over, when wake is called, and with an error when ctx is over.
func (c *calls) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	woken := c.woken
	c.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-woken:
	case <-timer.C:
	}
	return ctx.Err()
}

// wake ends all present waits.
func (c *calls) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.woken)
	c.woken = make(chan struct{})
}

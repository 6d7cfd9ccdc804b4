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

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
	"go.uber.org/zap"
)

// sender delivers batches to one receiver. Several lanes use it at once.
type sender struct {
	client   *http.Client
	url      string
	header   http.Header
	timeout  time.Duration
	pace     pace
	retry429 bool
	// ageLimit is sample_age_limit; 0 means none.
	ageLimit time.Duration
	logger   *zap.Logger
	ledger   *ledger
	describe func(item []byte) string

	mu sync.Mutex
	// budget is what a search for poison may cost at present.
	budget searchBudget
	// sizeLimit is the largest uncompressed batch the receiver is believed to take, learned from 413; 0 means unknown.
	sizeLimit int
	// quietUntil is when the next line about dropped samples may be logged.
	quietUntil time.Time
	silenced   uint64
}

func newSender(cfg *promconfig.RemoteWriteConfig, client *http.Client, version string, l *ledger, logger *zap.Logger) *sender {
	q := &cfg.QueueConfig
	return &sender{
		client: client, url: cfg.URL.String(), timeout: time.Duration(cfg.RemoteTimeout),
		// The headers are those of Prometheus' own client.
		header: http.Header{
			"Content-Encoding":              {"snappy"},
			"Content-Type":                  {"application/x-protobuf"},
			"User-Agent":                    {remote.UserAgent},
			remote.RemoteWriteVersionHeader: {version},
		},
		pace:     pace{min: time.Duration(q.MinBackoff), max: time.Duration(q.MaxBackoff)},
		retry429: q.RetryOnRateLimit, ageLimit: time.Duration(q.SampleAgeLimit),
		logger: logger, ledger: l, describe: describe1, budget: fullSearch,
	}
}

// minSizeLimit stops a receiver that answers 413 to everything from making every batch a single sample.
const minSizeLimit = 16 << 10

// answer is what a request led to. status is 0 if there was no response, and then err says why.
type answer struct {
	status     int
	retryAfter time.Duration
	problem    string
}

// deliver sends the batch, and comes back when every item was acknowledged or dropped and is booked in account. The error is ctx's, or
// says that the batch itself is broken; then nothing is known of the rest.
func (s *sender) deliver(ctx context.Context, b *batch, account *tally) (troubled bool, err error) {
	search := s.searchFor()
	exhausted, searched := false, false
	// Parts that are still to be sent, the next one last.
	todo := []span{{0, len(b.items)}}
	for len(todo) > 0 {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		v, retried, err := s.send(ctx, b, part, account)
		troubled = troubled || retried
		if err != nil {
			return troubled, err
		}
		alone := part.to-part.from == 1
		middle := part.from + (part.to-part.from)/2
		switch v {
		case splitPoison:
			if alone || search < 2 {
				exhausted = exhausted || !alone
				s.drop(b, part, Rejected, account)
				continue
			}
			search, searched = search-2, true
			todo = append(todo, span{middle, part.to}, span{part.from, middle})
		case splitSize:
			if alone {
				s.drop(b, part, TooLarge, account)
				continue
			}
			s.learnSize(b, part)
			todo = append(todo, span{middle, part.to}, span{part.from, middle})
		case dropLimited:
			s.drop(b, part, RateLimited, account)
		default:
			b.settle(part, nil, account)
		}
	}
	s.searchedFor(exhausted, searched)
	return troubled, nil
}

// send posts one part until the receiver answers something final.
func (s *sender) send(ctx context.Context, b *batch, part span, account *tally) (_ verdict, retried bool, _ error) {
	for attempt := 0; ; attempt++ {
		if s.ageLimit > 0 {
			b.expire(part, time.Now().Add(-s.ageLimit).UnixMilli(), account)
		}
		body, n, err := b.bodyOf(part)
		if err != nil || n == 0 {
			return delivered, retried, err
		}
		a := s.post(ctx, b, body, attempt)
		if err := ctx.Err(); err != nil && a.status == 0 {
			return delivered, retried, err
		}
		v := retrySoon
		if a.status != 0 {
			v = judge(a.status, s.retry429)
		}
		if v == delivered {
			if s.ledger.succeeded(len(body)) {
				s.logger.Info("remote write recovered")
			}
			return v, retried, nil
		}
		if v != retrySoon && v != retrySlowly {
			s.ledger.noted(a.problem)
			return v, retried, nil
		}
		retried = true
		if err := s.wait(ctx, v, attempt+1, a); err != nil {
			return v, retried, err
		}
		s.ledger.repeated(b.countOf(part))
	}
}

// wait notes a failed attempt and sleeps until the next one is due.
func (s *sender) wait(ctx context.Context, v verdict, attempt int, a answer) error {
	p := s.pace
	if v == retrySlowly {
		p = p.slowed()
	}
	delay := p.delay(attempt, a.retryAfter, rand.Float64())
	if s.ledger.troubled(a.problem) {
		text := "remote write fails and is retried; samples wait in the log"
		if v == retrySlowly {
			text = "remote write is refused and retried slowly; check the address, the credentials and the protocol; samples wait in the log"
		}
		s.logger.Warn(text, zap.String("reason", a.problem), zap.Duration("retry_in", delay))
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// post makes one request.
func (s *sender) post(ctx context.Context, b *batch, body []byte, attempt int) answer {
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
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{problem: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 2 {
		drain(resp.Body)
		return answer{status: resp.StatusCode}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	drain(resp.Body)
	return answer{
		status:     resp.StatusCode,
		retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		problem:    fmt.Sprintf("server returned HTTP status %s: %s", resp.Status, strings.TrimSpace(string(text))),
	}
}

// drain reads what is left of a response, so that the connection is used again, unless it is suspiciously much.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, 64<<10) }

// drop gives up a part, and names one of its series, at most one line in ten seconds.
func (s *sender) drop(b *batch, part span, reason Reason, account *tally) {
	items := b.countOf(part)
	n := items.samples()
	b.settle(part, &reason, account)
	s.mu.Lock()
	now := time.Now()
	quiet := now.Before(s.quietUntil)
	if quiet {
		s.silenced += n
	} else {
		n, s.silenced = n+s.silenced, 0
		s.quietUntil = now.Add(10 * time.Second)
	}
	s.mu.Unlock()
	if quiet {
		return
	}
	s.ledger.mu.Lock()
	problem := s.ledger.lastErr
	s.ledger.mu.Unlock()
	var example string
	if b.uncompress() == nil {
		example = s.describe(b.item(part.from))
	}
	s.logger.Warn("samples dropped: the receiver refuses them", zap.Stringer("reason", reason), zap.Uint64("dropped", n),
		zap.String("series", example), zap.String("answer", problem))
}

// learnSize makes the following batches half as large as a part that was too large.
func (s *sender) learnSize(b *batch, part span) {
	size := int(b.items[part.to-1].end)
	if part.from > 0 {
		size -= int(b.items[part.from-1].end)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := max(size/2, minSizeLimit); s.sizeLimit == 0 || limit < s.sizeLimit {
		s.sizeLimit = limit
	}
}

func (s *sender) learnedSize() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizeLimit
}

// searchFor is the number of further requests that may be spent on a batch after its refusal.
func (s *sender) searchFor() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.budget)
}

func (s *sender) searchedFor(exhausted, searched bool) {
	if searched && !exhausted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget = s.budget.next(exhausted)
}

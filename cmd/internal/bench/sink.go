package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
)

// lagStep is the precision of the lag's percentile.
const lagStep = 10 * time.Millisecond

// sink is a receiver of remote write 1.0 that counts and forgets. It reads requests by hand,
// because it shares two cores with the agent that is measured.
type sink struct {
	seed maphash.Seed

	refuses atomic.Bool

	mu      sync.Mutex
	counted counted
	ups     map[uint64]struct{}
	lags    [6001]uint64 // by lagStep; the last takes the rest
}

// counted is what came since the last reset.
type counted struct {
	Samples  uint64
	Requests uint64
	Wire     uint64 // bytes of bodies, compressed
	Broken   uint64 // requests that could not be read
	// Ups is how many targets' up has come, ever.
	Ups int
	// Scraped is when a target was asked first; the zero time: none was.
	Scraped time.Time
	// LagP99 is how old a sample was when it came.
	LagP99 time.Duration
}

func newSink() *sink { return &sink{seed: maphash.MakeSeed(), ups: map[uint64]struct{}{}} }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuses.Load() {
		http.Error(w, "refused on purpose", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	var raw []byte
	if err == nil {
		raw, err = snappy.Decode(nil, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.take(raw, time.Now())
	}
	if err != nil {
		s.counted.Broken++
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.counted.Requests++
	s.counted.Wire += uint64(len(body))
	w.WriteHeader(http.StatusNoContent)
}

// scraped notes that a target was asked.
func (s *sink) scraped() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counted.Scraped.IsZero() {
		s.counted.Scraped = now
	}
}

// reset starts a new count and returns the old one.
func (s *sink) reset() counted {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counted
	c.Ups, c.LagP99 = len(s.ups), s.lag(0.99)
	s.counted, s.lags = counted{}, [len(s.lags)]uint64{}
	return c
}

func (s *sink) lag(quantile float64) time.Duration {
	var total, sum uint64
	for _, n := range s.lags {
		total += n
	}
	for i, n := range s.lags {
		if sum += n; total > 0 && float64(sum) >= quantile*float64(total) {
			return time.Duration(i) * lagStep
		}
	}
	return 0
}

var errMessage = errors.New("remote write request can't be read")

// The fields of prometheus.WriteRequest and TimeSeries that are looked at.
const (
	fieldTimeSeries = 1 // of WriteRequest
	fieldLabels     = 1 // of TimeSeries
	fieldSamples    = 2
	fieldTimestamp  = 2 // of Sample
)

// nameUp is the label __name__="up" as it is on the wire.
var nameUp = []byte("\n\x08__name__\x12\x02up")

func (s *sink) take(raw []byte, now time.Time) error {
	return fields(raw, func(field int, series []byte, _ uint64) error {
		if field != fieldTimeSeries {
			return nil
		}
		return s.takeSeries(series, now)
	})
}

func (s *sink) takeSeries(series []byte, now time.Time) error {
	up := false
	var identity maphash.Hash
	identity.SetSeed(s.seed)
	err := fields(series, func(field int, content []byte, _ uint64) error {
		switch field {
		case fieldLabels:
			if up = up || bytes.Equal(content, nameUp); up {
				_, _ = identity.Write(content)
			}
		case fieldSamples:
			s.counted.Samples++
			return s.takeLag(content, now)
		}
		return nil
	})
	if up {
		s.ups[identity.Sum64()] = struct{}{}
	}
	return err
}

func (s *sink) takeLag(sample []byte, now time.Time) error {
	return fields(sample, func(field int, _ []byte, number uint64) error {
		if field == fieldTimestamp {
			lag := now.Sub(time.UnixMilli(int64(number)))
			s.lags[min(max(int(lag/lagStep), 0), len(s.lags)-1)]++
		}
		return nil
	})
}

// fields calls visit with each field of a protobuf message: its content, if it has a length, or its
// number.
func fields(message []byte, visit func(field int, content []byte, number uint64) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errMessage
		}
		message = message[n:]
		var content []byte
		var number uint64
		switch tag & 7 {
		case 0:
			if number, n = binary.Uvarint(message); n <= 0 {
				return errMessage
			}
		case 1:
			if n = 8; len(message) < n {
				return errMessage
			}
			number = binary.LittleEndian.Uint64(message)
		case 2:
			length, m := binary.Uvarint(message)
			if m <= 0 || length > uint64(len(message)-m) {
				return errMessage
			}
			content, n = message[m:m+int(length)], m+int(length)
		default:
			return errMessage
		}
		if err := visit(int(tag>>3), content, number); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

package remotewrite

import (
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// askAgain is how long an endpoint speaks protocol 1.0 after its receiver refused 2.0, before one
// request in 2.0 finds out whether it has learned it.
const askAgain = 15 * time.Minute

// The headers in which a receiver says what it wrote of a request of protocol 2.0.
const (
	samplesWritten    = "X-Prometheus-Remote-Write-Samples-Written"
	histogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written"
	exemplarsWritten  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// confirmation is what an answer says was written.
type confirmation struct {
	// said: at least one of the headers was there.
	said bool
	counts
}

// some reports whether anything was written.
func (c *confirmation) some() bool { return c.samples()+c.counts[exemplarKind] > 0 }

func confirmationOf(h http.Header) (c confirmation) {
	for k, name := range map[kind]string{floatKind: samplesWritten, histogramKind: histogramsWritten, exemplarKind: exemplarsWritten} {
		if n, err := strconv.ParseUint(h.Get(name), 10, 64); err == nil {
			c.said, c.counts[k] = true, n
		}
	}
	return c
}

// confirmed corrects a verdict by what an answer to protocol 2.0 says. A success without a word
// about what was written comes from a receiver that took the body for one of protocol 1.0, and has
// nothing of it.
func confirmed(v verdict, a answer) verdict {
	switch {
	case a.status == http.StatusUnsupportedMediaType, v == delivered && !a.written.said:
		return speakOld
	case (v == splitPoison || v == splitSize || v == final || v == dropLimited) && a.written.some():
		return partly
	}
	return v
}

// confirmed is the verdict on a request of protocol 2.0. It notes whether the receiver understands that.
func (s *sender) confirmed(v verdict, a answer, body []byte) verdict {
	v = confirmed(v, a)
	if s.logsFailed && v != delivered {
		s.logFailed(body, a)
	}
	switch v {
	case delivered, partly:
		if s.destination.answeredNew(true) {
			s.logger.Info("receiver understands remote write 2.0 now")
		}
	case speakOld:
		if s.destination.answeredNew(false) {
			s.logger.Warn("receiver does not understand remote write 2.0; speaking 1.0",
				zap.String("reason", a.problem), zap.Duration("asks_again_after", askAgain))
		}
	}
	return v
}

// speaksNew reports whether protocol 2.0 is to be used. Now and then one caller is told yes
// although the receiver refused it.
func (d *destination) speaksNew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusedNew.IsZero() {
		return true
	}
	if time.Since(d.refusedNew) < askAgain {
		return false
	}
	d.refusedNew = time.Now()
	return true
}

// refusesNew reports whether the receiver refused protocol 2.0 when it was asked last.
func (d *destination) refusesNew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.refusedNew.IsZero()
}

// answeredNew notes whether the receiver understands protocol 2.0, and says whether that is news.
func (d *destination) answeredNew(understood bool) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	news = d.refusedNew.IsZero() != understood
	d.refusedNew = time.Time{}
	if !understood {
		d.refusedNew = time.Now()
	}
	return news
}

// speakOld makes the destination's endpoints speak protocol 1.0 for a while. The batch is read
// again from the log.
func (d *delivery) speakOld(p part, a answer) error {
	b := d.batch
	if a.status/100 == 2 || d.touched {
		// It may have some of it in spite of that. What is sent again and refused is taken to be there.
		b.doubt = true
		b.each(p, func(i int) { b.items[i].maybe = true })
	}
	if d.touched {
		d.begunInParts()
	}
	return laterError{verdict: speakOld, answer: a}
}

// speaking is the protocol of the next round.
func (e *endpoint) speaking() *protocol {
	if !e.protocol.confirms || e.sender.destination.speaksNew() {
		return e.protocol
	}
	return e.older
}

package remotewrite

import (
	"net/http"
	"strconv"
	"time"
)

// verdict is what a receiver's answer means for the batch it answers.
type verdict uint8

const (
	// delivered: the receiver has it.
	delivered verdict = iota
	// retrySoon: the receiver or the way to it is unwell; it comes back without anybody's help.
	retrySoon
	// retrySlowly: a person has to repair something (credentials, address, protocol). Nothing is
	// wrong with the data, so it waits.
	retrySlowly
	// splitPoison: something in the batch is not acceptable; the rest may be.
	splitPoison
	// splitSize: the batch is too large.
	splitSize
	// final: the request is not acceptable, and the protocol's letter forbids to try any of it again.
	final
	// speakOld: the receiver does not understand this version of the protocol.
	speakOld
	// partly: the receiver wrote what is acceptable and said how much that is.
	partly
	// dropLimited: the receiver limits the rate and the user said not to retry.
	dropLimited
)

// rules are what a configuration says about answers.
type rules struct {
	// retry429 is retry_on_http_429.
	retry429 bool
	// strict: the protocol's letter. What it calls final is not tried again.
	strict bool
}

// judge maps a status to a verdict; 0 is no answer. The reasons are in
// docs/decisions/0003-remote-write-errors.md.
func (r rules) judge(status int) verdict {
	switch {
	case status == 0:
		return retrySoon
	case status/100 == 2:
		return delivered
	case status/100 == 5:
		return retrySoon
	case status == http.StatusTooManyRequests:
		if r.retry429 {
			return retrySoon
		}
		return dropLimited
	}
	if r.strict && status/100 == 4 {
		return final
	}
	switch status {
	case http.StatusRequestEntityTooLarge:
		return splitSize
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return retrySoon
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusGone,
		http.StatusLengthRequired, http.StatusUnsupportedMediaType, http.StatusMisdirectedRequest, http.StatusUpgradeRequired:
		return retrySlowly
	}
	if status/100 == 4 {
		return splitPoison
	}
	// What is left is 1xx and 3xx (a redirect that is not followed): the address is wrong.
	return retrySlowly
}

const (
	// maxRetryAfter caps what a receiver may ask for, so that one wrong header can't silence an
	// endpoint for a day.
	maxRetryAfter = 5 * time.Minute
	// slowest is the pace at which a misconfiguration is retried: once a minute is soon enough for
	// a person's repair.
	slowest = time.Minute
)

// pace is an exponential backoff between two durations.
type pace struct{ min, max time.Duration }

// slowed is the pace for what only a person can repair.
func (p pace) slowed() pace {
	return pace{min: max(p.min, time.Second), max: max(p.max, slowest)}
}

// delay is the wait before the next attempt, after attempt failed ones (≥ 1). retryAfter is what
// the receiver asked for, or 0. jitter is a random number in [0,1): up to half of a backoff is
// random, but no wait is below min; a Retry-After is lengthened by up to a tenth, because the
// receiver gave the same one to everybody.
func (p pace) delay(attempt int, retryAfter time.Duration, jitter float64) time.Duration {
	if retryAfter > 0 {
		wait := min(retryAfter, maxRetryAfter)
		return wait + time.Duration(jitter*float64(wait)/10)
	}
	wait := max(p.min, time.Millisecond)
	for i := 1; i < attempt && wait < p.max; i++ {
		wait *= 2
	}
	if p.max > 0 {
		wait = min(wait, p.max)
	}
	least := max(wait/2, min(p.min, wait), time.Millisecond)
	return least + time.Duration(jitter*float64(max(wait-least, least/2)))
}

// parseRetryAfter reads a Retry-After header, which is a number of seconds or an HTTP date. It is 0
// if there is no usable one.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		if seconds <= 0 {
			return 0
		}
		return time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}

// lanesInput is what the number of lanes is decided from, after a round.
type lanesInput struct {
	lanes, min, max int
	// perLane is the number of samples that fills a lane's batch.
	perLane int
	// samples is what the round held.
	samples int
	// backlog is what is left in the log.
	backlog uint64
	// troubled: something in the round had to be retried.
	troubled bool
	// clean is the number of rounds since the last change that were full and not troubled, this one
	// included.
	clean int
	// rate is how many samples a second were settled since the last change, but for the round right
	// after it, which makes connections. rateBefore is what it was before the lanes were doubled;
	// 0 if they were not.
	rate, rateBefore float64
	// ceiling is a number of lanes of which twice as many were not faster; 0 if there is none.
	ceiling int
}

const (
	// growAfter clean rounds the lanes double.
	growAfter = 3
	// growBacklog is how many more rounds must be waiting for more lanes to be worth their connections.
	growBacklog = 4
	// growGain is by how much twice the lanes have to be faster to be worth their memory and
	// connections: a lane costs two megabytes (measured: 18 MB with one lane, 119 MB with 50).
	growGain = 1.25
	// growAgain clean rounds at the ceiling, more lanes are tried again: receivers change.
	growAgain = 100
)

// decideLanes doubles the lanes while the receiver keeps up with full rounds, a backlog remains, and
// that makes them faster. It halves them when the receiver doesn't keep up, when a quarter of the
// lanes would have done, or when they are no faster than half of them were, which is in vain.
func decideLanes(in lanesInput) (lanes int, vain bool) {
	next := in.lanes
	after := growAfter
	if in.ceiling > 0 && in.lanes >= in.ceiling {
		after = growAgain
	}
	switch {
	case in.troubled:
		next = in.lanes / 2
	case in.clean == growAfter && in.rateBefore > 0 && in.rate < in.rateBefore*growGain:
		next, vain = in.lanes/2, true
	case in.clean >= after && in.backlog >= uint64(in.lanes*in.perLane)*growBacklog:
		next = in.lanes * 2
	case in.samples*4 < in.lanes*in.perLane && in.backlog < uint64(in.perLane):
		next = in.lanes / 2
	}
	return max(1, in.min, min(next, in.max)), vain
}

package remotewrite

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"go.uber.org/zap"
)

// Metadata describes a metric family of an active target.
type Metadata struct {
	Family, Help, Unit string
	Type               model.MetricType
}

// minMetadataInterval keeps the timer of an idle endpoint slow, whatever send_interval says.
const minMetadataInterval = time.Second

// metadataPusher sends the metadata of the active targets at an interval, as protocol 1.0 has it:
// in requests of their own. Between two pushes it is one timer.
type metadataPusher struct {
	endpoint *endpoint
	interval time.Duration
	perSend  int
	collect  func() []Metadata

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pushes  sync.WaitGroup
}

// newMetadataPusher returns nil, which does nothing, if there is no metadata to send.
func newMetadataPusher(e *endpoint, collect func() []Metadata) *metadataPusher {
	cfg := &e.cfg.MetadataConfig
	if !cfg.Send || collect == nil {
		return nil
	}
	return &metadataPusher{
		endpoint: e, collect: collect,
		interval: max(minMetadataInterval, time.Duration(cfg.SendInterval)),
		perSend:  max(1, cfg.MaxSamplesPerSend),
	}
}

// start arms the timer. The first push comes at a random time within the interval, so that a
// thousand instances don't push at once.
func (p *metadataPusher) start() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := max(minMetadataInterval, time.Duration(rand.Float64()*float64(p.interval)))
	p.timer = time.AfterFunc(first, p.fire)
}

// stop waits for a push under way, which ends with the endpoint's context.
func (p *metadataPusher) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.pushes.Wait()
}

func (p *metadataPusher) fire() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.pushes.Add(1)
	p.mu.Unlock()
	defer p.pushes.Done()
	defer func() {
		if v := recover(); v != nil {
			go p.endpoint.onPanic(newPanicError(v))
		}
	}()
	p.push()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.timer.Reset(p.interval)
	}
}

// push sends what there is. It gives up when the next push is due, which carries fresher metadata.
func (p *metadataPusher) push() {
	if p.endpoint.protocol.confirms && !p.endpoint.sender.destination.refusesNew() {
		return // it travels with the samples
	}
	ctx, cancel := context.WithTimeout(p.endpoint.soft, p.interval)
	defer cancel()
	told := &p.endpoint.sender.destination.told
	entries := told.untold(distinct(p.collect()), time.Now().Add(-p.interval*9/10))
	for len(entries) > 0 {
		n := min(p.perSend, len(entries))
		if p.send(ctx, entries[:n]) {
			told.note(entries[:n], time.Now())
		}
		entries = entries[n:]
	}
}

// distinct returns each entry once: many targets export the same families.
func distinct(entries []Metadata) []Metadata {
	seen := make(map[Metadata]struct{}, len(entries))
	out := entries[:0:0]
	for _, m := range entries {
		if _, ok := seen[m]; ok {
			continue
		}
		seen[m] = struct{}{}
		out = append(out, m)
	}
	return out
}

func encodeMetadata(entries []Metadata) ([]byte, error) {
	out := make([]prompb.MetricMetadata, 0, len(entries))
	for _, m := range entries {
		out = append(out, prompb.MetricMetadata{
			MetricFamilyName: m.Family, Help: m.Help, Unit: m.Unit, Type: prompb.FromMetadataType(m.Type),
		})
	}
	return (&prompb.WriteRequest{Metadata: out}).Marshal()
}

// send reports whether the receiver has the entries.
func (p *metadataPusher) send(ctx context.Context, entries []Metadata) bool {
	e := p.endpoint
	n := uint64(len(entries))
	raw, err := encodeMetadata(entries)
	if err != nil {
		e.logger.Error("metadata not encoded", zap.Error(err))
		return false
	}
	b := &batch{protocol: protocol1(), body: s2.EncodeSnappy(nil, raw)}
	for attempt := 0; ; attempt++ {
		a := e.sender.post(ctx, b, b.body, attempt)
		v := e.sender.rules.judge(a.status)
		if v == delivered {
			e.ledger.metadataDone(n, uint64(len(b.body)), true)
			return true
		}
		retry := v == retrySoon || v == retrySlowly
		if retry {
			e.sender.failed(v, a)
		}
		if !retry || e.sender.calls.wait(ctx, e.sender.delay(v, attempt+1, a)) != nil {
			e.ledger.metadataDone(n, 0, false)
			if e.soft.Err() == nil {
				e.logger.Warn("metadata not sent", zap.Uint64("dropped", n), zap.String("reason", a.problem))
			}
			return false
		}
		e.ledger.metadataRepeated(n)
	}
}

func (l *ledger) metadataDone(n, bytes uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.metadata.sent += n
		l.metadata.bytes += bytes
	} else {
		l.metadata.failed += n
	}
}

func (l *ledger) metadataRepeated(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metadata.retried += n
}

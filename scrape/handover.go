package scrape

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// maxExceptions bounds a handover to less than 3 KiB. Of targets beyond it, a tick that was not
	// taken is lost, and one that was taken ahead of time is taken twice. Targets are exceptions
	// when a stop cuts their scrapes off, which it does to those that hang.
	maxExceptions = 256
	// handoverAge is how old a handover may be to tell anything: what is older, or as far in the
	// future, comes from a clock that is wrong, or from a move that has failed its purpose.
	handoverAge = 10 * time.Minute
	// handoverVersion begins a handover of ticks alone, carryingVersion one that carries more.
	handoverVersion = "1."
	carryingVersion = "2."
	// maxSlices is more than there ever are.
	maxSlices = 1 << 16
)

var errGarbledHandover = errors.New("it is garbled")

// handover is what a scraper that has stopped tells about ticks: those due until an instant are
// dealt with, taken or given up, with few exceptions. So it does not grow with the number of
// targets. Nil: nothing is known.
type handover struct {
	at     time.Time
	behind map[uint64]struct{} // targets whose last tick due at that instant was not taken
	ahead  map[uint64]struct{} // targets whose first tick after it was
	// unknown are targets about which the handover has nothing to say any more, because they have
	// gone since.
	unknown map[uint64]struct{}
	// slices is how many the targets are divided into, once earlier divisions are over. A successor
	// that was not there when the number changed does not know of these.
	slices  int
	earlier []Division
	// packed is what it carries, as carried.pack returns it.
	packed []byte
}

func newHandover(at time.Time) *handover {
	return &handover{at: at, behind: map[uint64]struct{}{}, ahead: map[uint64]struct{}{}, unknown: map[uint64]struct{}{}}
}

// add tells that next is the first tick of a target that is not dealt with.
func (h *handover) add(target uint64, s schedule, next int64) {
	switch usual := s.latest(h.at) + 1; {
	case next < usual:
		h.behind[target] = struct{}{}
	case next > usual:
		h.ahead[target] = struct{}{}
	}
}

// first returns the tick that a target begins with.
func (h *handover) first(target uint64, s schedule, now time.Time) int64 {
	if h == nil {
		return s.first(now)
	}
	if _, unknown := h.unknown[target]; unknown {
		return s.first(now)
	}
	next := s.latest(h.at) + 1
	if _, behind := h.behind[target]; behind {
		next--
	}
	if _, ahead := h.ahead[target]; ahead {
		next++
	}
	return s.resume(now, next)
}

// forget tells that a target has gone. When it comes back, its ticks are no longer those of the
// scraper before.
func (h *handover) forget(target uint64) {
	if h != nil {
		h.unknown[target] = struct{}{}
	}
}

// useful reports whether the handover tells anything at now.
func (h *handover) useful(now time.Time) bool {
	return h != nil && now.Sub(h.at).Abs() <= handoverAge
}

// encode returns the handover as text, and how many exceptions there was no room for.
func (h *handover) encode() (text string, lost int) {
	exceptions := len(h.ahead) + len(h.behind)
	room := maxExceptions
	data := binary.AppendVarint(nil, h.at.UnixNano())
	for _, targets := range []map[uint64]struct{}{h.ahead, h.behind} {
		sorted := slices.Sorted(maps.Keys(targets))
		sorted = sorted[:min(len(sorted), room)]
		room -= len(sorted)
		data = binary.AppendUvarint(data, uint64(len(sorted)))
		for _, target := range sorted {
			data = binary.LittleEndian.AppendUint64(data, target)
		}
	}
	data = binary.AppendUvarint(data, uint64(h.slices))
	for _, d := range h.earlier {
		data = binary.AppendUvarint(data, uint64(d.Slices))
		data = binary.AppendVarint(data, d.Until.UnixNano())
	}
	version := handoverVersion
	if len(h.packed) > 0 {
		version = carryingVersion
		data = append(append(binary.AppendUvarint(nil, uint64(len(data))), data...), h.packed...)
	}
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	return version + base64.RawURLEncoding.EncodeToString(data), max(0, exceptions-maxExceptions)
}

// decodeHandover is the inverse of encode. It takes any text.
func decodeHandover(text string) (*handover, error) {
	encoded, ok := strings.CutPrefix(text, handoverVersion)
	longest, carrying := 16*maxExceptions, false
	if !ok {
		if encoded, carrying = strings.CutPrefix(text, carryingVersion); !carrying {
			return nil, errors.New("its version is unknown")
		}
		longest += maxCarried
	}
	if len(encoded) > base64.RawURLEncoding.EncodedLen(longest) {
		return nil, fmt.Errorf("it has %d bytes", len(text))
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	if len(data) < crc32.Size {
		return nil, errGarbledHandover
	}
	data, sum := data[:len(data)-crc32.Size], data[len(data)-crc32.Size:]
	if crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(sum) {
		return nil, errGarbledHandover
	}
	var packed []byte
	if carrying {
		size, n := binary.Uvarint(data)
		if n <= 0 || size >= uint64(len(data)-n) {
			return nil, errGarbledHandover
		}
		data, packed = data[n:n+int(size)], data[n+int(size):]
	}
	h, ok := decodeTicks(data)
	if !ok {
		return nil, errGarbledHandover
	}
	h.packed = packed
	return h, nil
}

// decodeTicks reads what a handover says of ticks.
func decodeTicks(data []byte) (h *handover, ok bool) {
	at, n := binary.Varint(data)
	if n <= 0 || at < 0 {
		return nil, false
	}
	h, data = newHandover(time.Unix(0, at)), data[n:]
	for _, targets := range []map[uint64]struct{}{h.ahead, h.behind} {
		if data, ok = decodeTargets(data, targets); !ok {
			return nil, false
		}
	}
	return h, h.decodeDivisions(data)
}

func (h *handover) decodeDivisions(data []byte) (ok bool) {
	if h.slices, data, ok = decodeSlices(data); !ok {
		return false
	}
	for len(data) > 0 {
		var d Division
		if d.Slices, data, ok = decodeSlices(data); !ok {
			return false
		}
		until, n := binary.Varint(data)
		if n <= 0 || until < 0 {
			return false
		}
		d.Until, data = time.Unix(0, until), data[n:]
		h.earlier = append(h.earlier, d)
	}
	return true
}

// decodeSlices takes a number of slices off data.
func decodeSlices(data []byte) (slices int, rest []byte, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > maxSlices {
		return 0, nil, false
	}
	return int(n), data[size:], true
}

// decodeTargets takes a list off data.
func decodeTargets(data []byte, into map[uint64]struct{}) (rest []byte, ok bool) {
	count, n := binary.Uvarint(data)
	if n <= 0 || count > uint64(len(data)-n)/8 {
		return nil, false
	}
	for data = data[n:]; count > 0; count-- {
		into[binary.LittleEndian.Uint64(data)] = struct{}{}
		data = data[8:]
	}
	return data, true
}

// Handover tells a successor, in any process, which ticks were taken, and what carried.go says: as
// text that only Resume understands, of less than 3 KiB without what it carries and 68 KiB with it.
// It has labels of targets and series, so keep it where configs are kept. It is empty, which means
// that nothing is known, before Stop has returned. Of a scraper that has not scraped it is what
// Resume was given. Any goroutine may call it.
func (s *Scraper) Handover() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handedOver
}

// Resume tells what the Handover of another scraper of the same targets was, so that no tick is
// taken twice, and that each target whose tick became due in the move begins with it, late. If up
// to three ticks became due, only the last of them is made up for; after more the target begins
// with its next one. Empty: nothing is known. Optional, before Start.
//
// An error says that the text was not understood. Then nothing is known, and the scraper can be
// started all the same. Nor is anything known from a handover that is older than ten minutes, by
// this host's clock. Whatever it says, and whatever the clocks, no target waits more than one
// interval longer than without it.
func (s *Scraper) Resume(handover string) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.resume, s.handedOver = nil, ""
	if handover == "" {
		return nil
	}
	h, err := decodeHandover(handover)
	if err != nil {
		return fmt.Errorf("read handover: %w", err)
	}
	c, err := unpack(h.packed)
	if err != nil {
		return fmt.Errorf("read handover: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume, s.handedOver, s.carried = h, handover, c
	if own := s.slicing; len(own.earlier) == 0 && own.slices == h.slices {
		s.slicing = &slicing{slice: own.slice, slices: own.slices, earlier: h.earlier}
	}
	return nil
}

// handOver remembers what the loops have taken that were ended at an instant. None of their scrapes
// is running if there is something to carry.
func (s *Scraper) handOver(ended []endingLoop, at time.Time, c *carried) {
	h := newHandover(at)
	h.packed = s.pack(c)
	h.slices, h.earlier = s.slicing.slices, s.slicing.after(at)
	var next time.Time
	for _, e := range ended {
		if e.why == stopping {
			e.handOver(h)
			next = earliest(next, e.nextTick())
		}
	}
	text, lost := h.encode()
	if lost > 0 {
		s.log.Warn("handover is incomplete: too many aborted scrapes", zap.Int("targets", lost))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handedOver, s.nextTick = text, next
}

// handOver adds the first tick that this loop has not dealt with.
func (l *loop) handOver(h *handover) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.untaken()
	if usual, more := l.division.first(l.schedule, l.schedule.latest(h.at)+1); !more || next == usual {
		return // what is not of this slice is none of the successor's ticks either
	}
	h.add(l.target.id, l.schedule, next)
}

// untaken is the first tick that is not dealt with. It needs mu, and that no scrape is running.
func (l *loop) untaken() int64 {
	if l.committed.Target == l.target.id && l.committed.Number == l.tick {
		return l.committed.Number + 1
	}
	return l.tick
}

// NextTick returns when the next tick of any target is due, or was due if it has not been taken;
// after Stop it is the first one that a successor has to take. The zero time: there are no targets.
// Any goroutine may call it.
func (s *Scraper) NextTick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.nextTick
	for _, p := range s.pools {
		for _, l := range p.loops {
			next = earliest(next, l.nextTick())
		}
	}
	return next
}

// nextTick returns when the loop's next tick is due, which is after the one that is being taken;
// the zero time if it has none.
func (l *loop) nextTick() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.untaken()
	if l.running != nil {
		next = l.tick + 1
	}
	next, more := l.division.first(l.schedule, next)
	if !more {
		return time.Time{}
	}
	return l.schedule.at(next)
}

// earliest takes the zero time for none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

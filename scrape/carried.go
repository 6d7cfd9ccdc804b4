package scrape

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/series"
)

// A handover also carries, as far as there is room, the targets that discoveries have found and the
// open series of all targets. With these a successor scrapes targets whose discovery has not
// reported to it yet, and ends series that its first scrape lacks. Targets are carried as
// relabelling left them: that is less, and no more than the series and the requests say of them.

const (
	// maxCarried bounds what one handover carries: a claim with it must fit a write of any store.
	maxCarried = 48 << 10
	// maxUnpacked bounds it once it is unpacked.
	maxUnpacked = 16 << 20
	// carriedAtOnce is how many targets or series go in or stay out together.
	carriedAtOnce = 256
	// carriedBurst and carriedPerSecond bound what all handovers of a process carry: a node that
	// leaves hands thousands over at once.
	carriedBurst     = 16 << 20
	carriedPerSecond = 2 << 20
	// carriedTime is for how long a successor scrapes carried targets whose discovery has not
	// reported to it.
	carriedTime = time.Hour
)

var errGarbledCarried = errors.New("what it carries is garbled")

// carried is what a handover tells beside ticks.
type carried struct {
	found  []carriedTargets
	series []carriedSeries
}

// carriedTargets are what one discovery of a job has found.
type carriedTargets struct {
	job       string
	config    uint64 // digest of the job's config
	discovery int    // place among the job's discoveries that are not static
	until     time.Time
	targets   []labels.Labels // after relabelling
}

// carriedSeries are open series of one target.
type carriedSeries struct {
	target uint64
	last   time.Time // timestamp of the target's last samples
	open   []carriedOne
}

// carriedOne is one open series.
type carriedOne struct {
	labels []byte // as package series encodes them
	kind   byte   // 0: plain; up to 8: the target writes this report series, counted from 1, itself; from 128: the report series itself
}

const reportSeriesItself = 128

// allowance bounds what the scrapers of a process put into their handovers in a short time.
type allowance struct {
	mu    sync.Mutex
	spent int
	at    time.Time
}

// left is how many bytes a handover may carry now.
func (a *allowance) left(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if since := now.Sub(a.at); since > 0 {
		a.spent -= int(min(int64(a.spent), int64(since.Seconds()*carriedPerSecond)))
		a.at = now
	}
	return max(0, min(maxCarried, carriedBurst-a.spent))
}

func (a *allowance) spend(bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spent += bytes
}

// endOfPack ends a deflate stream that was flushed.
var endOfPack = []byte{1, 0, 0, 0xff, 0xff}

// packer compresses what is carried, chunk by chunk, until there is no room.
type packer struct {
	out   bytes.Buffer
	flate *flate.Writer
	room  int
	good  int // bytes of out after the last chunk that had room
	full  bool
	chunk []byte
}

// flush ends a chunk. It reports whether there was room for it.
func (p *packer) flush() bool {
	if !p.full {
		_, err := p.flate.Write(p.chunk)
		err = errors.Join(err, p.flate.Flush())
		p.full = err != nil || p.out.Len()+len(endOfPack) > p.room
	}
	p.chunk = p.chunk[:0]
	if p.full {
		p.out.Truncate(p.good)
		return false
	}
	p.good = p.out.Len()
	return true
}

func (p *packer) text(s string) {
	p.chunk = binary.AppendUvarint(p.chunk, uint64(len(s)))
	p.chunk = append(p.chunk, s...)
}

// similar writes bytes by what they have in common with those before.
func (p *packer) similar(before, b []byte) {
	n := 0
	for n < min(len(before), len(b)) && before[n] == b[n] {
		n++
	}
	p.chunk = binary.AppendUvarint(p.chunk, uint64(n))
	p.chunk = binary.AppendUvarint(p.chunk, uint64(len(b)-n))
	p.chunk = append(p.chunk, b[n:]...)
}

// pack returns what there is room for, and how many targets and series there was none for.
func (c *carried) pack(w *flate.Writer, room int) (packed []byte, targets, series int) {
	p := &packer{flate: w, room: room}
	w.Reset(&p.out)
	for _, f := range c.found {
		for at := 0; at == 0 || at < len(f.targets); at += carriedAtOnce {
			part := f.targets[at:min(at+carriedAtOnce, len(f.targets))]
			if !p.targets(f, part) {
				targets += len(part)
			}
		}
	}
	for _, s := range c.series {
		for at := 0; at < len(s.open); at += carriedAtOnce {
			part := s.open[at:min(at+carriedAtOnce, len(s.open))]
			if !p.series(s, part) {
				series += len(part)
			}
		}
	}
	if p.good == 0 {
		return nil, targets, series
	}
	return append(p.out.Bytes(), endOfPack...), targets, series
}

func (p *packer) targets(f carriedTargets, part []labels.Labels) bool {
	if p.full {
		return false
	}
	p.chunk = append(p.chunk, 't')
	p.text(f.job)
	p.chunk = binary.LittleEndian.AppendUint64(p.chunk, f.config)
	p.chunk = binary.AppendUvarint(p.chunk, uint64(f.discovery))
	p.chunk = binary.AppendVarint(p.chunk, f.until.UnixMilli())
	p.chunk = binary.AppendUvarint(p.chunk, uint64(len(part)))
	var before []byte
	for _, ls := range part {
		encoded, _ := series.Encode(nil, ls) // what relabelling leaves can be encoded
		p.similar(before, encoded)
		before = encoded
	}
	return p.flush()
}

func (p *packer) series(s carriedSeries, part []carriedOne) bool {
	if p.full {
		return false
	}
	p.chunk = append(p.chunk, 's')
	p.chunk = binary.LittleEndian.AppendUint64(p.chunk, s.target)
	p.chunk = binary.AppendVarint(p.chunk, s.last.UnixMilli())
	p.chunk = binary.AppendUvarint(p.chunk, uint64(len(part)))
	var before []byte
	for _, one := range part {
		p.chunk = append(p.chunk, one.kind)
		p.similar(before, one.labels)
		before = one.labels
	}
	return p.flush()
}

// unpack is the inverse of pack. It takes any bytes.
func unpack(packed []byte) (*carried, error) {
	if len(packed) == 0 {
		return &carried{}, nil
	}
	reader := flate.NewReader(bytes.NewReader(packed))
	data, err := io.ReadAll(io.LimitReader(reader, maxUnpacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack what it carries: %w", err)
	case len(data) > maxUnpacked:
		return nil, errGarbledCarried
	}
	c, u := &carried{}, &unpacker{data: data}
	for len(u.data) > 0 && u.err == nil {
		switch kind := u.byte(); kind {
		case 't':
			c.found = append(c.found, u.targets())
		case 's':
			c.series = append(c.series, u.series())
		default:
			u.err = errGarbledCarried
		}
	}
	return c, u.err
}

// unpacker takes values off data, until one is not there.
type unpacker struct {
	data []byte
	err  error
}

func (u *unpacker) take(n uint64) []byte {
	if u.err != nil || n > uint64(len(u.data)) {
		u.err = errGarbledCarried
		return nil
	}
	taken := u.data[:n:n]
	u.data = u.data[n:]
	return taken
}

func (u *unpacker) byte() byte {
	if b := u.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (u *unpacker) uint64() uint64 {
	if b := u.take(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.data)
	u.take(uint64(max(n, 0)))
	if n <= 0 {
		u.err = errGarbledCarried
	}
	return v
}

func (u *unpacker) instant() time.Time {
	v, n := binary.Varint(u.data)
	u.take(uint64(max(n, 0)))
	if n <= 0 || v < 0 {
		u.err = errGarbledCarried
	}
	return time.UnixMilli(v)
}

// similar returns encoded labels, after those before.
func (u *unpacker) similar(before []byte) []byte {
	common := u.uvarint()
	rest := u.take(u.uvarint())
	if u.err != nil || common > uint64(len(before)) {
		u.err = errGarbledCarried
		return nil
	}
	encoded := append(bytes.Clone(before[:common]), rest...)
	if series.Check(encoded) != nil {
		u.err = errGarbledCarried
	}
	return encoded
}

func (u *unpacker) targets() (f carriedTargets) {
	f.job = string(u.take(u.uvarint()))
	f.config = u.uint64()
	f.discovery = int(min(u.uvarint(), 1<<16))
	f.until = u.instant()
	builder := labels.NewScratchBuilder(0)
	var before []byte
	for n := u.uvarint(); n > 0 && u.err == nil; n-- {
		if before = u.similar(before); u.err != nil {
			break
		}
		if ls := series.Decode(before, &builder); canBeTarget(ls) {
			f.targets = append(f.targets, ls)
		}
	}
	return f
}

func (u *unpacker) series() (s carriedSeries) {
	s.target = u.uint64()
	s.last = u.instant()
	var before []byte
	for n := u.uvarint(); n > 0 && u.err == nil; n-- {
		kind := u.byte()
		if before = u.similar(before); u.err != nil {
			break
		}
		if kind == reportSeriesItself || kind&^reportSeriesItself > reportCount {
			u.err = errGarbledCarried
		}
		s.open = append(s.open, carriedOne{labels: before, kind: kind})
	}
	return s
}

// configDigest says whether two processes have the same config of a job, secrets and static targets
// aside. 0: it can't be said, because a discovery's config can't be written as YAML.
func configDigest(config *promconfig.ScrapeConfig) (sum uint64) {
	defer func() {
		if recover() != nil { // yaml panics on fields that it can't read
			sum = 0
		}
	}()
	own := *config
	own.ServiceDiscoveryConfigs = nil
	h := fnv.New64a()
	for _, part := range append([]any{&own}, dynamic(config)...) {
		text, err := yaml.Marshal(part)
		if err != nil {
			return 0
		}
		_, _ = fmt.Fprintf(h, "%T %d ", part, len(text))
		_, _ = h.Write(text)
	}
	return max(h.Sum64(), 1)
}

// dynamic are the discoveries of a job that are not static.
func dynamic(config *promconfig.ScrapeConfig) (found []any) {
	for _, sd := range config.ServiceDiscoveryConfigs {
		if _, static := sd.(discovery.StaticConfig); !static {
			found = append(found, sd)
		}
	}
	return found
}

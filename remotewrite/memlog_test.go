package remotewrite

import (
	"io"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
)

// memlog is a log in memory with self-contained segments: a series is defined again at its first use in each segment.
type memlog struct {
	mu         sync.Mutex
	perSegment int
	records    []memrecord
	cursors    map[string]Position
	// failAt makes the read with this number fail, after it has delivered the record. Numbers begin at 1.
	failAt, reads int
}

type memrecord struct {
	entries []memsample
	end     Position
	damaged bool
}

type memsample struct {
	ref    uint64
	labels labels.Labels
	t      int64
	v      float64
	h      *histogram.Histogram
	fh     *histogram.FloatHistogram
	e      *exemplar.Exemplar
}

func newMemlog() *memlog { return &memlog{perSegment: 5, cursors: map[string]Position{}} }

func (m *memlog) commit(entries ...memsample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.end()
	for _, e := range entries {
		if e.e == nil {
			end.Seq++
		}
	}
	end.Offset++
	if int(end.Offset) > m.perSegment || end.Segment == 0 {
		end.Segment++
		end.Offset = 1
	}
	m.records = append(m.records, memrecord{entries: entries, end: end})
}

func (m *memlog) end() Position {
	if len(m.records) == 0 {
		return Position{}
	}
	return m.records[len(m.records)-1].end
}

// damage makes record i unreadable: its samples are lost.
func (m *memlog) damage(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[i].damaged = true
}

func (m *memlog) open(id string) func() (Source, Position, error) {
	return func() (Source, Position, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		s := &memsource{log: m, id: id}
		p := m.cursors[id]
		s.seek(p)
		return s, p, nil
	}
}

type memsource struct {
	log     *memlog
	id      string
	next    int
	defined map[uint64]bool
	segment uint64
	closed  bool
}

func (s *memsource) Seek(p Position) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.seek(p)
}

func (s *memsource) seek(p Position) {
	s.next, s.defined, s.segment = 0, map[uint64]bool{}, 0
	for s.next < len(s.log.records) && s.log.records[s.next].end.Seq <= p.Seq && s.log.records[s.next].end != (Position{}) {
		s.next++
	}
}

func (s *memsource) Next(v Visitor) (Record, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	rec := Record{}
	from := s.next
	var before uint64
	if from > 0 {
		before = s.log.records[from-1].end.Seq
	}
	i := from
	for ; i < len(s.log.records) && s.log.records[i].damaged; i++ {
		rec.Lost.Damaged += s.log.records[i].end.Seq - before
		before = s.log.records[i].end.Seq
	}
	if i == len(s.log.records) {
		return Record{}, io.EOF
	}
	r := s.log.records[i]
	if r.end.Segment != s.segment {
		s.segment = r.end.Segment
		clear(s.defined)
	}
	for _, e := range r.entries {
		if !s.defined[e.ref] {
			s.defined[e.ref] = true
			v.Series(e.ref, e.labels)
		}
		switch {
		case e.e != nil:
			v.Exemplar(e.ref, *e.e)
			continue
		case e.h != nil:
			v.Histogram(e.ref, 0, e.t, e.h)
		case e.fh != nil:
			v.FloatHistogram(e.ref, 0, e.t, e.fh)
		default:
			v.Float(e.ref, 0, e.t, e.v)
		}
		rec.Samples++
	}
	if s.log.reads++; s.log.reads == s.log.failAt {
		clear(s.defined)
		return Record{}, io.ErrUnexpectedEOF
	}
	s.next = i + 1
	rec.End = r.end
	return rec, nil
}

func (s *memsource) Pending(p Position) uint64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.end().Seq - p.Seq
}

func (s *memsource) SaveCursor(p Position) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.cursors[s.id] = p
	return nil
}

func (s *memsource) Close() error {
	s.closed = true
	return nil
}

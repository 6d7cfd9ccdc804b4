package remotewrite

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// memlog is a log in memory with self-contained segments: a series is defined again at its first
// use in each segment.
type memlog struct {
	mu         sync.Mutex
	perSegment int
	book       *series.Book
	refs       map[uint64]series.Ref
	records    []memrecord
	cursors    map[string]Place
	// failAt makes the read with this number fail, after it has delivered the record. Numbers begin
	// at 1.
	failAt, reads int
	saves         int
}

type memrecord struct {
	entries []memsample
	end     Position
	damaged bool
}

type memsample struct {
	ref    uint64
	labels labels.Labels
	st, t  int64
	v      float64
	m      metadata.Metadata
	h      *histogram.Histogram
	fh     *histogram.FloatHistogram
	e      *exemplar.Exemplar
}

func newMemlog() *memlog {
	return &memlog{perSegment: 5, book: series.New(), refs: map[uint64]series.Ref{}, cursors: map[string]Place{}}
}

func (m *memlog) commit(entries ...memsample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.end()
	for _, e := range entries {
		m.acquire(e)
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

// acquire gives the number that a test has for a series its reference in the book.
func (m *memlog) acquire(e memsample) {
	if m.refs[e.ref] != 0 {
		return
	}
	ls := e.labels
	if ls.IsEmpty() {
		ls = labels.FromStrings("ref", fmt.Sprint(e.ref))
	}
	ref, err := m.book.Acquire(ls)
	if err != nil {
		panic(err)
	}
	m.refs[e.ref] = ref
}

func (m *memlog) end() Position {
	if len(m.records) == 0 {
		return Position{}
	}
	return m.records[len(m.records)-1].end
}

// killed is the log as the next process finds it.
func (m *memlog) killed() *memlog {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memlog{perSegment: m.perSegment, book: m.book, refs: maps.Clone(m.refs), records: slices.Clone(m.records), cursors: maps.Clone(m.cursors)}
}

// damage makes record i unreadable: its samples are lost.
func (m *memlog) damage(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[i].damaged = true
}

func (m *memlog) open(id string) func() (Source, Place, error) {
	return func() (Source, Place, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		s := &memsource{log: m, id: id}
		p := m.cursors[id]
		s.seek(p.Position)
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

func (s *memsource) Book() *series.Book { return s.log.book }

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
	v.Record(before)
	if r.end.Segment != s.segment {
		s.segment = r.end.Segment
		clear(s.defined)
	}
	for _, e := range r.entries {
		ref := s.log.refs[e.ref]
		if !s.defined[e.ref] {
			s.defined[e.ref] = true
			v.Series(ref)
			if !e.m.IsEmpty() {
				v.Metadata(ref, e.m)
			}
		}
		switch {
		case e.e != nil:
			v.Exemplar(ref, *e.e)
			continue
		case e.h != nil:
			v.Histogram(ref, e.st, e.t, e.h)
		case e.fh != nil:
			v.FloatHistogram(ref, e.st, e.t, e.fh)
		default:
			v.Float(ref, e.st, e.t, e.v)
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

func (s *memsource) End() Position {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.end()
}

func (s *memsource) Save(p Place) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.cursors[s.id] = p
	s.log.saves++
	return nil
}

func (s *memsource) Close() error {
	s.closed = true
	return nil
}

package pipeline

import (
	"errors"

	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// source shows an instance's log to one of its endpoints.
type source struct {
	log    *wal.Log
	reader *wal.Reader
	cursor string
}

// openSource opens the log at the endpoint's cursor. An endpoint that was never seen before starts
// at the log's end: what was scraped before it was configured was not meant for it. One that a
// person has repaired goes on from the place of the one that it replaces, whose cursor is former's;
// "" is none.
func openSource(log *wal.Log, cursor, former string) (remotewrite.Source, remotewrite.Place, error) {
	position, known, err := log.Cursor(cursor)
	if err != nil {
		return nil, remotewrite.Place{}, err
	}
	if !known {
		if position, err = begin(log, cursor, former); err != nil {
			return nil, remotewrite.Place{}, err
		}
	}
	s := &source{log: log, reader: log.NewReader(position), cursor: cursor}
	return s, remotewrite.Place{Position: remotewrite.Position(position), Progress: log.Progress(cursor)}, nil
}

// begin makes a cursor for an endpoint that has none.
func begin(log *wal.Log, cursor, former string) (wal.Position, error) {
	position, known, err := log.Cursor(former)
	if err != nil || former == "" || !known {
		return log.End(), errors.Join(err, log.SaveCursor(cursor, log.End()))
	}
	// The new one first: a kill in between costs nothing.
	if err := log.SaveProgress(cursor, position, log.Progress(former)); err != nil {
		return position, err
	}
	return position, log.RemoveCursor(former)
}

// Book implements remotewrite.Source.
func (s *source) Book() *series.Book { return s.log.Book() }

func (s *source) Next(v remotewrite.Visitor) (remotewrite.Record, error) {
	record, err := s.reader.Next(v)
	return remotewrite.Record{
		End:     remotewrite.Position(record.End),
		Samples: record.Samples,
		Lost:    remotewrite.LostSamples{Damaged: record.Lost.Damaged, Truncated: record.Lost.Truncated},
	}, err
}

func (s *source) Seek(p remotewrite.Position) { s.reader.Seek(wal.Position(p)) }

func (s *source) Pending(p remotewrite.Position) uint64 { return s.log.End().Seq - p.Seq }

func (s *source) End() remotewrite.Position { return remotewrite.Position(s.log.End()) }

func (s *source) Save(p remotewrite.Place) error {
	return s.log.SaveProgress(s.cursor, wal.Position(p.Position), p.Progress)
}

// Close gives back what the reader holds.
func (s *source) Close() error {
	s.reader.Close()
	return nil
}

package pipeline

import (
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// source shows an instance's log to one of its endpoints.
type source struct {
	log    *wal.Log
	reader *wal.Reader
	cursor string
}

// openSource opens the log at the endpoint's cursor. An endpoint that was never seen before starts at the log's end:
// what was scraped before it was configured was not meant for it.
func openSource(log *wal.Log, cursor string) (remotewrite.Source, remotewrite.Position, error) {
	position, known, err := log.Cursor(cursor)
	if err != nil {
		return nil, remotewrite.Position{}, err
	}
	if !known {
		position = log.End()
		if err := log.SaveCursor(cursor, position); err != nil {
			return nil, remotewrite.Position{}, err
		}
	}
	return &source{log: log, reader: log.NewReader(position), cursor: cursor}, remotewrite.Position(position), nil
}

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

func (s *source) SaveCursor(p remotewrite.Position) error {
	return s.log.SaveCursor(s.cursor, wal.Position(p))
}

// Close gives back what the reader holds.
func (s *source) Close() error {
	s.reader.Close()
	return nil
}

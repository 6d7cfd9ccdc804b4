package pipeline

import (
	"sync"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/redact"
)

// scrubber keeps the secrets of an instance's config out of what the instance says: a target or a
// receiver may answer with what it was sent. It looks for them when there is first something to
// say.
type scrubber struct {
	mu      sync.Mutex
	configs []*config.Instance // whose secrets are looked for: the one in force, and the one before, of which answers may still come
	secrets redact.Secrets
	stale   bool
}

// use makes c the config in force.
func (s *scrubber) use(c *config.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.configs) > 0 {
		s.configs = s.configs[len(s.configs)-1:]
	}
	s.configs, s.stale = append(s.configs, c), true
}

// text is what may leave the process of a text.
func (s *scrubber) text(text string) string {
	if text == "" {
		return text
	}
	s.mu.Lock()
	if s.stale {
		var values []string
		for _, c := range s.configs {
			values = append(values, c.Secrets()...)
		}
		s.secrets, s.stale = redact.NewSecrets(values), false
	}
	secrets := s.secrets
	s.mu.Unlock()
	return secrets.Text(text)
}

// error is err with such a text. It wraps err.
func (s *scrubber) error(err error) error {
	if err == nil {
		return nil
	}
	text := s.text(err.Error())
	if text == err.Error() {
		return err
	}
	return scrubbed{text, err}
}

type scrubbed struct {
	text  string
	cause error
}

func (s scrubbed) Error() string { return s.text }
func (s scrubbed) Unwrap() error { return s.cause }

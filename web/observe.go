package web

import (
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// observe is the outermost layer: it turns a handler's panic into a 500, forbids content sniffing,
// and logs requests at debug level.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			s.recovered(rec, r, recover())
			s.opts.Refusals.count(rec)
			s.log.Debug("request", zap.String("method", r.Method), zap.String("path", r.URL.EscapedPath()),
				zap.Int("status", rec.status), zap.Duration("duration", time.Since(began)))
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) recovered(rec *recorder, r *http.Request, reason any) {
	if reason == nil {
		return
	}
	if reason == http.ErrAbortHandler { //nolint:errorlint // it is panicked as it is
		panic(reason)
	}
	s.log.Error("panic in a request", zap.Any("reason", reason), zap.String("method", r.Method),
		zap.String("path", r.URL.EscapedPath()), zap.ByteString("stack", debug.Stack()))
	if rec.status == 0 {
		refuse(rec, r, http.StatusInternalServerError, "internal error; the agent's log has the details")
		return
	}
	// The answer has begun: cutting the connection is the only way left to say that it is not whole.
	panic(http.ErrAbortHandler)
}

// recorder remembers the status of an answer; 0 is none yet.
type recorder struct {
	http.ResponseWriter
	status  int
	refused string // why
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what recorder hides.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

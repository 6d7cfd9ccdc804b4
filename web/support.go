package web

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"

	"github.com/prometheus/common/expfmt"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// part is one file of the support bundle.
type part struct {
	name  string
	write func(ctx context.Context, w io.Writer) error
}

// supportBundle answers a zip with what a person needs who helps from afar. It holds no secrets,
// and no configs unless the read API is on. A part that can't be had is replaced by
// <name>.error.txt, so that a sick agent still gives the rest.
func (s *Server) supportBundle(w http.ResponseWriter, r *http.Request) {
	if !s.bundling.TryLock() {
		w.Header().Set("Retry-After", "5")
		because(w, refusedBusy)
		writeText(w, http.StatusServiceUnavailable, "another support bundle is being made")
		return
	}
	defer s.bundling.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="agent-support-`+s.opts.Now().UTC().Format("20060102T150405Z")+`.zip"`)
	ctx, cancel := s.storeContext(r)
	defer cancel()
	archive := zip.NewWriter(w)
	for _, p := range s.supportParts() {
		if err := addPart(ctx, archive, p); err != nil {
			s.log.Debug("write support bundle", zap.Error(err))
			return
		}
	}
	if err := archive.Close(); err != nil {
		s.log.Debug("write support bundle", zap.Error(err))
	}
}

// addPart returns an error only when the archive itself, that is the client, can't be written to.
func addPart(ctx context.Context, archive *zip.Writer, p part) error {
	var content strings.Builder
	failed := p.write(ctx, &content)
	f, err := archive.Create(p.name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f, content.String()); err != nil {
		return err
	}
	if failed == nil {
		return nil
	}
	f, err = archive.Create(p.name + ".error.txt")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, redact.Text(failed.Error()))
	return err
}

func (s *Server) supportParts() []part {
	parts := []part{
		{"version.txt", func(_ context.Context, w io.Writer) error {
			_, err := fmt.Fprintf(w, "version: %s\nnode: %s\ngo: %s\nplatform: %s/%s\ncpus: %d\n", s.opts.Version, s.opts.Node,
				runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
			return err
		}},
		{"ready.json", func(_ context.Context, w io.Writer) error {
			return writeIndented(w, map[string][]string{"waiting_for": s.opts.Ready()})
		}},
		{"instances.json", func(ctx context.Context, w io.Writer) error {
			all, err := s.sortedInstances(ctx)
			return errorOr(err, w, all)
		}},
		{"targets.json", func(ctx context.Context, w io.Writer) error {
			targets, err := s.sortedTargets(ctx)
			return errorOr(err, w, targets)
		}},
		{"goroutines.txt", func(_ context.Context, w io.Writer) error {
			return pprof.Lookup("goroutine").WriteTo(w, 1)
		}},
	}
	if s.opts.Ring != nil {
		parts = append(parts, part{"ring.json", func(ctx context.Context, w io.Writer) error {
			members, err := s.sortedMembers(ctx)
			return errorOr(err, w, describeRing(members, s.opts.Now()))
		}})
	}
	if s.opts.Cluster != nil {
		parts = append(parts, part{"cluster.json", func(ctx context.Context, w io.Writer) error {
			state, err := s.opts.Cluster.State(ctx, Scope{})
			return errorOr(err, w, s.describeCluster(state, maxLimit))
		}})
	}
	if s.opts.Gatherer != nil {
		parts = append(parts, part{"metrics.txt", s.writeMetrics})
	}
	if s.opts.ReadAPI && s.opts.AgentConfig != nil {
		parts = append(parts, part{"agent.yaml", func(_ context.Context, w io.Writer) error {
			text, err := s.opts.AgentConfig()
			if err != nil {
				return err
			}
			_, err = io.WriteString(w, text)
			return err
		}})
	}
	return parts
}

// writeMetrics writes what could be gathered, also if some of it could not.
func (s *Server) writeMetrics(_ context.Context, w io.Writer) error {
	families, gatherErr := s.opts.Gatherer.Gather()
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return gatherErr
}

func errorOr(err error, w io.Writer, v any) error {
	if err != nil {
		return err
	}
	return writeIndented(w, v)
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

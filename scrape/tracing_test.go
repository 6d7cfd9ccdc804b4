package scrape

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestAScrapeThatIsNotTracedPaysNothingForIt(t *testing.T) {
	s, r, o := &Scraper{}, &attempt{ctx: t.Context()}, &outcome{}
	scrape := func() {
		s.trace(r)
		tracedCommit(s.traceCommit(r), 7, true, nil)
		r.traced(o, false)
	}
	require.Zero(t, testing.AllocsPerRun(1000, scrape))

	s.options.Tracer = noop.NewTracerProvider().Tracer("")
	scrape() // one that is not sampled
	require.Nil(t, r.span)
	require.Equal(t, t.Context(), r.ctx)
}

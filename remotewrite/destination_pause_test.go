package remotewrite

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pause may end while somebody who waits for it is being looked at.
func TestWhoWaitsForAPauseIsAdmittedWheneverItEnds(t *testing.T) {
	d := newDestination(NewClients(), &http.Client{}, digest{})
	defer d.runs.cancel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 50_000 {
		d.mu.Lock()
		d.until = time.Now().Add(time.Duration(i%1000) * time.Nanosecond)
		d.mu.Unlock()
		require.NoError(t, d.place(ctx), "attempt %d", i)
		d.giveUpPlace()
	}
}

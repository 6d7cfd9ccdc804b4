package around

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// processLook is how often Process looks at the rules.
const processLook = 250 * time.Millisecond

// Process does what the rules of the point process say until ctx is over. Exit is called to end the
// process.
func Process(ctx context.Context, rules *fault.Registry, exit func()) {
	if rules == nil {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(processLook)
	defer ticker.Stop()
	var busy sync.WaitGroup
	defer busy.Wait()
	held := map[<-chan struct{}]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !rules.Watches(fault.Process) {
			clear(held)
			continue
		}
		v := rules.Decide(fault.Event{Point: fault.Process})
		switch {
		case !v.Hits() || held[v.Over]:
		case v.Action == fault.Exit:
			exit()
		case v.Action == fault.CPU:
			held[v.Over] = true
			for range runtime.GOMAXPROCS(0) {
				busy.Go(func() { burn(ctx, v) })
			}
		case v.Action == fault.Memory:
			held[v.Over] = true
			busy.Go(func() { hoard(ctx, v) })
		}
	}
}

// burn keeps one processor busy until the rule is over.
func burn(ctx context.Context, v fault.Verdict) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.Over:
			return
		default:
			for x := 1; x < 1<<20; x++ {
				x += x % 2 >> 1
			}
		}
	}
}

// hoard holds memory, every page of which was written, until the rule is over.
func hoard(ctx context.Context, v fault.Verdict) {
	block := make([]byte, v.Bytes)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	select {
	case <-ctx.Done():
	case <-v.Over:
	}
	runtime.KeepAlive(block)
}

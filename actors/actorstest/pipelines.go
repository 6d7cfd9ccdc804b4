package actorstest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// The operations that a script can be written for.
const (
	Open         = "open"
	Start        = "start"
	Reload       = "reload"
	StopScraping = "stop scraping"
	Drain        = "drain"
	Close        = "close"
)

// Script is what an operation does instead of succeeding at once: return an error, block, panic.
type Script func(ctx context.Context) error

// Hang is a Script that ends when its context does.
func Hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Fail is a Script that returns the error.
func Fail(err error) Script { return func(context.Context) error { return err } }

// Panic is a Script that panics.
func Panic(value any) Script { return func(context.Context) error { panic(value) } }

// Pipelines makes pipelines that record and misbehave. The zero value is not usable; see NewPipelines.
type Pipelines struct {
	mu         sync.Mutex
	scripts    map[[2]string]Script
	calls      map[string][]string
	pending    map[string]uint64
	opened     map[string][]*Pipeline
	open       map[string]int
	violations []string
}

// NewPipelines returns pipelines that do everything at once and well.
func NewPipelines() *Pipelines {
	return &Pipelines{
		scripts: map[[2]string]Script{}, calls: map[string][]string{}, pending: map[string]uint64{},
		opened: map[string][]*Pipeline{}, open: map[string]int{},
	}
}

// Pipeline is one that was opened.
type Pipeline struct {
	owner  *Pipelines
	key    string
	spec   actors.PipelineSpec
	mu     sync.Mutex
	busy   string
	closed bool
	// resumed is what Start was given.
	resumed messages.Handover
}

// New is an actors.NewPipeline.
func (p *Pipelines) New(ctx context.Context, spec actors.PipelineSpec) (actors.Pipeline, error) {
	key := spec.Unit.Key()
	if err := p.play(ctx, key, Open, Open); err != nil {
		return nil, err
	}
	pipeline := &Pipeline{owner: p, key: key, spec: spec}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[key]++; p.open[key] > 1 {
		p.violations = append(p.violations, fmt.Sprintf("%s: opened while another generation holds the log", key))
	}
	p.opened[key] = append(p.opened[key], pipeline)
	return pipeline, nil
}

// On makes an operation of the unit's pipelines play the script from now on; nil makes it succeed
// again.
func (p *Pipelines) On(key, operation string, script Script) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scripts[[2]string{key, operation}] = script
}

// LeavePending makes drains of the unit last until their time is over, with samples left.
func (p *Pipelines) LeavePending(key string, samples uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending[key] = samples
}

// Calls is what was asked of the unit's pipelines so far, in order.
func (p *Pipelines) Calls(key string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls[key])
}

// Forget forgets the calls of the unit so far.
func (p *Pipelines) Forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, key)
}

// Newest is the unit's pipeline that was opened last.
func (p *Pipelines) Newest(key string) *Pipeline {
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := p.opened[key]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// Open is the number of pipelines that were opened and not closed yet.
func (p *Pipelines) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, open := range p.open {
		n += open
	}
	return n
}

// Violations is every breach of the contract of actors.Pipeline: overlapping calls, calls after
// Close, two pipelines of one unit at a time. A test ends by finding none.
func (p *Pipelines) Violations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.violations)
}

func (p *Pipelines) play(ctx context.Context, key, operation, call string) error {
	p.mu.Lock()
	p.calls[key] = append(p.calls[key], call)
	script := p.scripts[[2]string{key, operation}]
	p.mu.Unlock()
	if script == nil {
		return nil
	}
	return script(ctx)
}

// Break reports a failure of the data path, as a goroutine of a real pipeline would.
func (p *Pipeline) Break(err error) { p.spec.Failed(err) }

// Start implements actors.Pipeline.
func (p *Pipeline) Start(ctx context.Context, resume messages.Handover) error {
	p.mu.Lock()
	p.resumed = resume
	p.mu.Unlock()
	return p.do(ctx, Start, Start)
}

// Resumed is what Start was given.
func (p *Pipeline) Resumed() messages.Handover {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumed
}

// Permitted asks the permit, as a scrape would.
func (p *Pipeline) Permitted() bool { return p.spec.Permit() }

// Reload implements actors.Pipeline. The call is recorded with the text of the config.
func (p *Pipeline) Reload(ctx context.Context, c *config.Instance) error {
	return p.do(ctx, Reload, Reload+" "+c.Text)
}

// StopScraping implements actors.Pipeline. The call is recorded with its reason. The handover names
// the pipeline.
func (p *Pipeline) StopScraping(ctx context.Context, reason messages.StopReason) (messages.Handover, error) {
	err := p.do(ctx, StopScraping, StopScraping+" "+reason.String())
	return messages.Handover(p.key + " handed over"), err
}

// Drain implements actors.Pipeline.
func (p *Pipeline) Drain(ctx context.Context) (uint64, error) {
	err := p.do(ctx, Drain, Drain)
	p.owner.mu.Lock()
	pending := p.owner.pending[p.key]
	p.owner.mu.Unlock()
	if pending > 0 {
		<-ctx.Done()
	}
	return pending, err
}

// Close implements actors.Pipeline. The call is recorded with whether the log was to be removed.
func (p *Pipeline) Close(remove bool) error {
	call := Close
	if remove {
		call = "close and remove"
	}
	defer func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.owner.mu.Lock()
		p.owner.open[p.key]--
		p.owner.mu.Unlock()
	}()
	return p.do(context.Background(), Close, call)
}

func (p *Pipeline) do(ctx context.Context, operation, call string) error {
	p.mu.Lock()
	busy, closed := p.busy, p.closed
	p.busy = operation
	p.mu.Unlock()
	if busy != "" || closed {
		p.owner.mu.Lock()
		p.owner.violations = append(p.owner.violations, fmt.Sprintf("%s: %s while %q is under way, closed: %t", p.key, operation, busy, closed))
		p.owner.mu.Unlock()
	}
	defer func() {
		p.mu.Lock()
		p.busy = ""
		p.mu.Unlock()
	}()
	return p.owner.play(ctx, p.key, operation, call)
}

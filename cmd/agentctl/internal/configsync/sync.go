package configsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/config"
)

// uploaders is how many files are uploaded at a time.
const uploaders = 8

// Service is the store behind an agent; *apiclient.Client is one.
type Service interface {
	List(ctx context.Context) (apiclient.Listing, error)
	// Get reads one config with its secrets masked; apiclient.ErrUnreadable if configs are not shown.
	Get(ctx context.Context, name string) (string, error)
	Put(ctx context.Context, name, text string, cond apiclient.Condition) error
	Delete(ctx context.Context, name string, revision int64) error
}

// Options say what to sync and how.
type Options struct {
	Dir string
	// DryRun shows what would be done and does nothing.
	DryRun bool
	// AllowDeleteMany lifts the guards: an empty directory, and deleting more than half.
	AllowDeleteMany bool
	// Out gets what is done, Err what went wrong.
	Out, Err io.Writer
	// Progress hears after each write how many of how many are done. Nil: nobody does.
	Progress func(done, total int)
	// Result gets what was done, or would be. Nil: nobody asks.
	Result *Result
}

// Result is what a run has done, or a dry run would do.
type Result struct {
	Created   []string `json:"created"`
	Updated   []string `json:"updated"`
	Deleted   []string `json:"deleted"`
	Failed    []string `json:"failed"`
	Unchanged int      `json:"unchanged"`
}

// Errors of Run that callers decide on.
var (
	// ErrFailed says that something went wrong and was told on Options.Err.
	ErrFailed = errors.New("not everything could be done")
	// ErrDiffers says that a dry run found something to do.
	ErrDiffers = errors.New("the store differs from the directory")
)

// Run syncs once. A nil error means that the store is now equal to the directory.
func Run(ctx context.Context, service Service, o Options) error {
	files, err := ReadDirectory(o.Dir)
	if err != nil {
		return err
	}
	if len(files) == 0 && !o.AllowDeleteMany {
		return fmt.Errorf("%s has no *.yaml or *.yml file; to delete every config, say --allow-delete-many", o.Dir)
	}
	stored, err := service.List(ctx)
	if err != nil {
		return err
	}
	r := &run{ctx: ctx, service: service, o: o, plan: MakePlan(files, stored), result: o.Result}
	if r.result == nil {
		r.result = &Result{}
	}
	*r.result = Result{Created: []string{}, Updated: []string{}, Deleted: []string{}, Failed: []string{}, Unchanged: r.plan.Unchanged}
	for _, f := range r.plan.Failed {
		r.fileFailed(f.Path, f.Err)
	}
	if !stored.Exact {
		fmt.Fprintln(o.Err, "note: this agent does not tell digests of its configs, so every file is uploaded")
	}
	if o.DryRun {
		return r.preview()
	}
	if err := r.guard(); err != nil {
		return err
	}
	return r.apply()
}

type run struct {
	ctx     context.Context
	service Service
	o       Options
	plan    Plan
	result  *Result
	written int
}

// wrote says that one more write is over.
func (r *run) wrote() {
	r.written++
	if r.o.Progress != nil {
		r.o.Progress(r.written, len(r.plan.Create)+len(r.plan.Update)+len(r.plan.Unsure)+len(r.plan.Delete))
	}
}

func (r *run) guard() error {
	if r.plan.DeletesMany() && !r.o.AllowDeleteMany {
		return fmt.Errorf("%d of %d stored configs would be deleted, and nothing was done; if that is meant, say --allow-delete-many",
			len(r.plan.Delete), r.plan.Stored)
	}
	return nil
}

func (r *run) apply() error {
	r.uploadAll(r.plan.Create, "created", &r.result.Created)
	r.uploadAll(append(r.plan.Update, r.plan.Unsure...), "updated", &r.result.Updated)
	for _, c := range r.plan.Delete {
		if r.ctx.Err() != nil {
			break
		}
		err := r.service.Delete(r.ctx, c.Name, c.Revision)
		r.wrote()
		if err != nil {
			r.fail(Printable(c.Name), err)
			continue
		}
		r.result.Deleted = append(r.result.Deleted, c.Name)
		fmt.Fprintf(r.o.Out, "deleted %s\n", Printable(c.Name))
	}
	fmt.Fprintf(r.o.Out, "%d created, %d updated, %d deleted, %d unchanged, %d failed\n",
		len(r.result.Created), len(r.result.Updated), len(r.result.Deleted), r.plan.Unchanged, len(r.result.Failed))
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("stopped before everything was done: %w", err)
	}
	if len(r.result.Failed) > 0 {
		return ErrFailed
	}
	return nil
}

// uploadAll uploads several files at a time, since each waits for a disk, and tells what came of
// them in their order.
func (r *run) uploadAll(all []Upload, done string, names *[]string) {
	answers := make([]chan error, len(all))
	var group sync.WaitGroup
	defer group.Wait()
	started := 0
	start := func() {
		u, answer := all[started], make(chan error, 1)
		answers[started] = answer
		started++
		group.Go(func() { answer <- r.service.Put(r.ctx, u.Name, u.Text, u.If) })
	}
	for i, u := range all {
		for started < min(len(all), i+uploaders) && r.ctx.Err() == nil {
			start()
		}
		if i >= started {
			return // called off
		}
		err := <-answers[i]
		r.wrote()
		if err != nil {
			r.fileFailed(u.Path, err)
			continue
		}
		*names = append(*names, u.Name)
		fmt.Fprintf(r.o.Out, "%s %s\n", done, Printable(u.Name))
	}
}

// fileFailed tells what is wrong with a file, each problem with the line it is on.
func (r *run) fileFailed(path string, err error) {
	var local config.Errors
	var refusal *apiclient.Refusal
	switch {
	case errors.As(err, &local):
		r.result.Failed = append(r.result.Failed, path)
		for _, e := range local {
			fmt.Fprintf(r.o.Err, "error: %v\n", e)
		}
	case errors.As(err, &refusal) && len(refusal.Problems) > 0:
		r.result.Failed = append(r.result.Failed, path)
		for _, p := range refusal.Problems {
			e := config.Error{File: path, Line: p.Line, Field: p.Field, Problem: p.Problem, Hint: p.Hint}
			fmt.Fprintf(r.o.Err, "error: %v\n", e)
		}
	default:
		r.fail(path, err)
	}
}

func (r *run) fail(what string, err error) {
	r.result.Failed = append(r.result.Failed, what)
	fmt.Fprintf(r.o.Err, "error: %s: %v\n", what, err)
}

// Printable keeps a name from the store that holds control characters from playing with the terminal.
func Printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

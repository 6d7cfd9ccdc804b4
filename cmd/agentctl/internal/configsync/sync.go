package configsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/config"
)

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
	r := &run{ctx: ctx, service: service, o: o, plan: MakePlan(files, stored)}
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

	created, updated, deleted, failed int
}

func (r *run) guard() error {
	if r.plan.DeletesMany() && !r.o.AllowDeleteMany {
		return fmt.Errorf("%d of %d stored configs would be deleted, and nothing was done; if that is meant, say --allow-delete-many",
			len(r.plan.Delete), r.plan.Stored)
	}
	return nil
}

func (r *run) apply() error {
	for _, u := range r.plan.Create {
		r.upload(u, "created", &r.created)
	}
	for _, u := range append(r.plan.Update, r.plan.Unsure...) {
		r.upload(u, "updated", &r.updated)
	}
	for _, c := range r.plan.Delete {
		if r.ctx.Err() != nil {
			break
		}
		if err := r.service.Delete(r.ctx, c.Name, c.Revision); err != nil {
			r.fail(printable(c.Name), err)
			continue
		}
		r.deleted++
		fmt.Fprintf(r.o.Out, "deleted %s\n", printable(c.Name))
	}
	fmt.Fprintf(r.o.Out, "%d created, %d updated, %d deleted, %d unchanged, %d failed\n",
		r.created, r.updated, r.deleted, r.plan.Unchanged, r.failed)
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("stopped before everything was done: %w", err)
	}
	if r.failed > 0 {
		return ErrFailed
	}
	return nil
}

func (r *run) upload(u Upload, done string, count *int) {
	if r.ctx.Err() != nil {
		return
	}
	if err := r.service.Put(r.ctx, u.Name, u.Text, u.If); err != nil {
		r.fileFailed(u.Path, err)
		return
	}
	*count++
	fmt.Fprintf(r.o.Out, "%s %s\n", done, printable(u.Name))
}

// fileFailed tells what is wrong with a file, each problem with the line it is on.
func (r *run) fileFailed(path string, err error) {
	var local config.Errors
	var refusal *apiclient.Refusal
	switch {
	case errors.As(err, &local):
		r.failed++
		for _, e := range local {
			fmt.Fprintf(r.o.Err, "error: %v\n", e)
		}
	case errors.As(err, &refusal) && len(refusal.Problems) > 0:
		r.failed++
		for _, p := range refusal.Problems {
			e := config.Error{File: path, Line: p.Line, Field: p.Field, Problem: p.Problem, Hint: p.Hint}
			fmt.Fprintf(r.o.Err, "error: %v\n", e)
		}
	default:
		r.fail(path, err)
	}
}

func (r *run) fail(what string, err error) {
	r.failed++
	fmt.Fprintf(r.o.Err, "error: %s: %v\n", what, err)
}

// printable keeps a name from the store that holds control characters from playing with the terminal.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

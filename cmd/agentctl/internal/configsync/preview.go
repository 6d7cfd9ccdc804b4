package configsync

import (
	"errors"
	"fmt"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/config"
)

// preview shows what would be done, as a unified diff where the agent shows its configs. Secrets are masked on both sides.
func (r *run) preview() error {
	for _, u := range r.plan.Create {
		fmt.Fprintf(r.o.Out, "would create %s\n", printable(u.Name))
		r.diff(u.Name, "", masked(u.Text))
	}
	for _, u := range r.plan.Update {
		fmt.Fprintf(r.o.Out, "would update %s\n", printable(u.Name))
		r.diffStored(u.Name, masked(u.Text))
	}
	for _, u := range r.plan.Unsure {
		fmt.Fprintf(r.o.Out, "would upload %s, whether it differs or not\n", printable(u.Name))
		r.diffStored(u.Name, masked(u.Text))
	}
	for _, c := range r.plan.Delete {
		fmt.Fprintf(r.o.Out, "would delete %s\n", printable(c.Name))
		r.diffStored(c.Name, "")
	}
	fmt.Fprintf(r.o.Out, "%d to create, %d to update, %d to delete, %d unchanged, %d failed\n", len(r.plan.Create),
		len(r.plan.Update)+len(r.plan.Unsure), len(r.plan.Delete), r.plan.Unchanged, r.failed)
	if err := r.guard(); err != nil {
		return err
	}
	switch {
	case r.failed > 0:
		return ErrFailed
	case !r.plan.Empty():
		return ErrDiffers
	}
	return nil
}

// diffStored compares with what the agent shows; why it shows nothing is told in the diff's place.
func (r *run) diffStored(name, after string) {
	before, err := r.service.Get(r.ctx, name)
	var refusal *apiclient.Refusal
	switch {
	case errors.Is(err, apiclient.ErrUnreadable), errors.As(err, &refusal):
		fmt.Fprintf(r.o.Out, "  (no diff: %v)\n", err)
	case err != nil:
		r.fail(printable(name), err)
	case before == after:
		fmt.Fprintln(r.o.Out, "  (no diff: it is in secrets, comments or layout)")
	default:
		r.diff(name, before, after)
	}
}

func (r *run) diff(name, before, after string) {
	d := difflib.UnifiedDiff{
		A: lines(before), B: lines(after), Context: 3,
		FromFile: "stored/" + printable(name), ToFile: "directory/" + printable(name),
	}
	if err := difflib.WriteUnifiedDiff(r.o.Out, d); err != nil {
		r.fail(printable(name), err)
	}
}

// lines splits a text into lines that all end in a newline.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	if text[len(text)-1] != '\n' {
		text += "\n"
	}
	split := difflib.SplitLines(text)
	return split[:len(split)-1] // SplitLines ends with an empty line of its own
}

// masked is a valid file's text as the agent would show it.
func masked(text string) string {
	shown, err := config.MaskInstance(text)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return shown
}

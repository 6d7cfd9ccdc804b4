package configsync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/config"
)

// preview shows what would be done, as a unified diff where the agent shows its configs. Secrets
// are masked on both sides.
func (r *run) preview() error {
	for _, u := range r.plan.Create {
		r.result.Created = append(r.result.Created, u.Name)
	}
	for _, u := range append(r.plan.Update, r.plan.Unsure...) {
		r.result.Updated = append(r.result.Updated, u.Name)
	}
	for _, c := range r.plan.Delete {
		r.result.Deleted = append(r.result.Deleted, c.Name)
	}
	for _, u := range r.plan.Create {
		fmt.Fprintf(r.o.Out, "would create %s\n", Printable(u.Name))
		r.diff(u.Name, "", masked(u.Text))
	}
	for _, u := range r.plan.Update {
		fmt.Fprintf(r.o.Out, "would update %s\n", Printable(u.Name))
		r.diffStored(u.Name, masked(u.Text))
	}
	for _, u := range r.plan.Unsure {
		fmt.Fprintf(r.o.Out, "would upload %s, whether it differs or not\n", Printable(u.Name))
		r.diffStored(u.Name, masked(u.Text))
	}
	for _, c := range r.plan.Delete {
		fmt.Fprintf(r.o.Out, "would delete %s\n", Printable(c.Name))
		r.diffStored(c.Name, "")
	}
	fmt.Fprintf(r.o.Out, "%d to create, %d to update, %d to delete, %d unchanged, %d failed\n", len(r.plan.Create),
		len(r.plan.Update)+len(r.plan.Unsure), len(r.plan.Delete), r.plan.Unchanged, len(r.result.Failed))
	if err := r.guard(); err != nil {
		return err
	}
	switch {
	case len(r.result.Failed) > 0:
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
		r.fail(Printable(name), err)
	case before == after:
		fmt.Fprintln(r.o.Out, "  (no diff: it is in secrets, comments or layout)")
	default:
		r.diff(name, before, after)
	}
}

func (r *run) diff(name, before, after string) {
	d := unified(before, after, "stored/"+Printable(name), "directory/"+Printable(name))
	if err := difflib.WriteUnifiedDiff(r.o.Out, d); err != nil {
		r.fail(Printable(name), err)
	}
}

func unified(before, after, from, to string) difflib.UnifiedDiff {
	return difflib.UnifiedDiff{A: lines(before), B: lines(after), Context: 3, FromFile: from, ToFile: to}
}

// Difference is how a stored config differs from a text.
type Difference struct {
	Name    string `json:"name"`
	Differs bool   `json:"differs"`
	// Text is the diff, or a sentence where there is none.
	Text string `json:"diff,omitempty"`
}

// Compare tells how a stored config differs from a text, with secrets masked. One that is not stored
// differs from any text.
func Compare(ctx context.Context, service Service, name, text string) (Difference, error) {
	stored, err := service.List(ctx)
	if err != nil {
		return Difference{}, err
	}
	i := slices.IndexFunc(stored.Configs, func(c apiclient.Config) bool { return c.Name == name })
	before := ""
	switch {
	case i >= 0 && stored.Exact && stored.Configs[i].Digest == apiclient.Digest(text):
		return Difference{Name: name}, nil
	case i >= 0:
		before, err = service.Get(ctx, name)
	}
	out := Difference{Name: name, Differs: true}
	if errors.Is(err, apiclient.ErrUnreadable) && stored.Exact {
		out.Text = Printable(name) + " differs; " + err.Error()
		return out, nil
	}
	if err != nil {
		return Difference{}, err
	}
	if after := masked(text); before != after {
		out.Text, err = difflib.GetUnifiedDiffString(unified(before, after, "stored/"+Printable(name), "file/"+Printable(name)))
		return out, err
	}
	if !stored.Exact { // Grafana Agent shows no secrets, and no digests
		return Difference{Name: name, Text: "no difference is seen, but the agent does not show secrets"}, nil
	}
	out.Text = Printable(name) + " differs in secrets, comments or layout only"
	return out, nil
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

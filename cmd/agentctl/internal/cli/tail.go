package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

// event is something that has happened to a config.
type event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// UnmarshalJSON implements json.Unmarshaler: which unit and which node it is about becomes part of
// the text.
func (e *event) UnmarshalJSON(data []byte) error {
	var told struct {
		At               time.Time
		Node, Unit, Text string
	}
	if err := json.Unmarshal(data, &told); err != nil {
		return err
	}
	e.At, e.Text = told.At, strings.TrimSpace(told.Unit+" "+told.Text)
	if told.Node != "" {
		e.Text += " (" + told.Node + ")"
	}
	return nil
}

// configState is what the agents tell of a config.
type configState struct {
	Revision int64
	History  []event
	Nodes    []struct {
		Node      string
		Instances []struct {
			Unit, State, Hold string
			LastError         string `json:"last_error"`
		}
		Targets   struct{ Up, Down, Unknown int }
		Endpoints []struct{ Name, URL, State string }
	}
	Unreachable []apiclient.Missing
}

func askConfig(ctx context.Context, c *apiclient.Client, name string) (state configState, err error) {
	data, err := c.Ask(ctx, http.MethodGet, "/configs/"+url.PathEscape(name), url.Values{"format": {"json"}}, nil)
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("decode answer: %w", err)
	}
	return state, nil
}

// facts are what can change about a config, by what it is about.
func (s configState) facts() map[string]string {
	facts := map[string]string{"stored revision": fmt.Sprint(s.Revision)}
	for _, n := range s.Nodes {
		for _, i := range n.Instances {
			text := i.State
			for _, why := range []string{i.Hold, i.LastError} {
				if why != "" {
					text += ": " + why
				}
			}
			facts[strings.TrimSpace(i.Unit+" on "+n.Node)] = text
		}
		if len(n.Instances) > 0 {
			facts["targets on "+n.Node] = fmt.Sprintf("%d up, %d down, %d unknown", n.Targets.Up, n.Targets.Down, n.Targets.Unknown)
		}
		for _, e := range n.Endpoints {
			facts["endpoint "+e.Name+" on "+n.Node] = e.State
		}
	}
	for _, u := range s.Unreachable {
		facts["node "+u.Node] = "does not answer: " + u.Error
	}
	return facts
}

// rememberedFor is how long tail knows an event that no agent tells any more: a node may miss looks
// and tell it again.
const rememberedFor = time.Hour

// toldEvents are the events that agents have told, with the time of the last look that had them.
type toldEvents map[event]time.Time

// add takes the history of a look, and returns what is new in it, oldest first.
func (k toldEvents) add(history []event, now time.Time) (fresh []event) {
	for _, e := range slices.Backward(history) {
		key := event{e.At.UTC(), e.Text}
		if _, known := k[key]; !known {
			fresh = append(fresh, e)
		}
		k[key] = now
	}
	maps.DeleteFunc(k, func(_ event, seen time.Time) bool { return now.Sub(seen) > rememberedFor })
	return fresh
}

// eventsBetween are what happened between two looks, in order: what the agents tell, then what differs.
func eventsBetween(known toldEvents, before, after configState, now time.Time) (events []event) {
	events = known.add(after.History, now)
	was, is := before.facts(), after.facts()
	var about []string
	for what := range was {
		about = append(about, what)
	}
	for what := range is {
		if _, known := was[what]; !known {
			about = append(about, what)
		}
	}
	slices.Sort(about)
	for _, what := range about {
		switch old, text := was[what], is[what]; {
		case old == text:
		case old == "":
			events = append(events, event{now, what + ": " + text})
		case text == "":
			events = append(events, event{now, what + ": gone (was " + old + ")"})
		default:
			events = append(events, event{now, what + ": " + old + " -> " + text})
		}
	}
	return events
}

// shownAtFirst is how many events of before are shown.
const shownAtFirst = 10

const tailLong = `Show what happens to a config, on all nodes, as it happens: moves, changes of state, targets that go up or down, answers of
receivers, new revisions. The last ten events of before come first. It ends with Ctrl-C, or after --for.

With -o json each event is a line, with -o yaml a document.`

func tailCommand(p Process) *cobra.Command {
	var every, limit time.Duration
	cmd := doing(&cobra.Command{
		Use: "tail [flags] CONFIG", Short: "Show what happens to a config as it happens", Long: tailLong, Example: "  agentctl tail team/api --for 1s",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		if every <= 0 || limit < 0 {
			return usageError{errors.New("--interval must be greater than 0, and --for not be negative")}
		}
		return follow(ctx, p, output, every, limit, func(ctx context.Context) (configState, error) { return askConfig(ctx, c, args[0]) })
	})
	cmd.Flags().DurationVar(&every, "interval", time.Second, "how often the agents are asked")
	cmd.Flags().DurationVar(&limit, "for", 0, "when to end; 0: at Ctrl-C")
	return cmd
}

// follow prints events until ctx is over, or limit after the first answer, which has to come.
func follow(ctx context.Context, p Process, output string, every, limit time.Duration, ask func(context.Context) (configState, error)) error {
	last, err := ask(ctx)
	if err != nil {
		return err
	}
	if limit > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	shown := slices.Clone(last.History[:min(len(last.History), shownAtFirst)])
	slices.Reverse(shown)
	known := toldEvents{}
	known.add(last.History, time.Now())
	for what, text := range sorted(last.facts()) {
		shown = append(shown, event{time.Now(), what + ": " + text})
	}
	trouble := ""
	for {
		for _, e := range shown {
			if err := printEvent(p, output, e); err != nil {
				return err
			}
		}
		shown = nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		next, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			shown = []event{{time.Now(), "the agent does not answer: " + trouble}}
		case err == nil:
			if trouble != "" {
				trouble = ""
				shown = []event{{time.Now(), "the agent answers again"}}
			}
			shown = append(shown, eventsBetween(known, last, next, time.Now())...)
			last = next
		}
	}
}

func printEvent(p Process, output string, e event) error {
	switch output {
	case asJSON:
		return json.NewEncoder(exactly(p.Out)).Encode(e)
	case asYAML:
		fmt.Fprintln(p.Out, "---")
		return printValue(p.Out, output, e)
	}
	fmt.Fprintf(p.Out, "%s  %s\n", e.At.Local().Format(time.DateTime), strings.ReplaceAll(e.Text, "\n", " "))
	return nil
}

// sorted goes over a map in the order of its keys.
func sorted(facts map[string]string) func(yield func(what, text string) bool) {
	return func(yield func(what, text string) bool) {
		var keys []string
		for what := range facts {
			keys = append(keys, what)
		}
		slices.Sort(keys)
		for _, what := range keys {
			if !yield(what, facts[what]) {
				return
			}
		}
	}
}

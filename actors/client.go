package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Errors of a Client and of Stop.
var (
	// ErrStopped says that there is no supervisor any more.
	ErrStopped = errors.New("the supervisor has stopped")
	// ErrUnknownUnit says that this node has no such unit.
	ErrUnknownUnit = errors.New("no such unit on this node")
	// ErrUnknownMember says that the store has no record of such a node.
	ErrUnknownMember = errors.New("no such member")
	// ErrMemberStays says that the member can't be forgotten, since it may be alive.
	ErrMemberStays = errors.New("member can't be forgotten")
	// ErrNoSubject says that there is no such config or node to order something about, or nothing
	// to take back.
	ErrNoSubject = errors.New("nothing to order")
	// ErrOrderRefused says that an order was not taken, and why.
	ErrOrderRefused = errors.New("order refused")
	// ErrUnfinished says that instances had not stopped in time. What they could not send is on disk.
	ErrUnfinished = errors.New("not every instance stopped in time")
)

// Client lets others than actors talk to a supervisor. Its methods wait, so they must never be
// called inside of an actor. They may be called concurrently.
type Client struct {
	system     *actor.ActorSystem
	supervisor *actor.PID
}

// NewClient returns a client of the supervisor that was spawned as pid.
func NewClient(system *actor.ActorSystem, supervisor *actor.PID) *Client {
	return &Client{system: system, supervisor: supervisor}
}

// Describe returns the state of everything. ErrStopped, or the error of ctx.
func (c *Client) Describe(ctx context.Context) (messages.TreeDescription, error) {
	return c.DescribeOnly(ctx, messages.DescribeTree{})
}

// DescribeOnly returns the state of the part that is asked for. ErrStopped, or the error of ctx.
func (c *Client) DescribeOnly(ctx context.Context, part messages.DescribeTree) (messages.TreeDescription, error) {
	return ask[messages.TreeDescription](ctx, c, part)
}

// DescribeUnit returns the state of one unit. ErrUnknownUnit, ErrStopped, or the error of ctx.
func (c *Client) DescribeUnit(ctx context.Context, u messages.Unit) (messages.UnitDescription, error) {
	answer, err := ask[messages.UnitAnswer](ctx, c, messages.DescribeUnit{Unit: u})
	if err == nil && !answer.Known {
		err = fmt.Errorf("describe %v: %w", u, ErrUnknownUnit)
	}
	return answer.Unit, err
}

// Retry lifts the backoff or the quarantine of a unit. ErrUnknownUnit, ErrStopped, or the error of ctx.
func (c *Client) Retry(ctx context.Context, u messages.Unit) error {
	answer, err := ask[messages.RetryAccepted](ctx, c, messages.RetryInstance{Unit: u})
	if err == nil && !answer.Known {
		err = fmt.Errorf("retry %v: %w", u, ErrUnknownUnit)
	}
	return err
}

// Forget removes what a dead node has left in the store. ErrUnknownMember, ErrMemberStays with the
// reason, ErrStopped, or the error of ctx.
func (c *Client) Forget(ctx context.Context, node string) error {
	answer, err := ask[messages.MemberForgotten](ctx, c, messages.ForgetMember{Node: node})
	switch {
	case err != nil:
		return err
	case !answer.Known:
		return fmt.Errorf("forget member %q: %w", node, ErrUnknownMember)
	case answer.Problem != "":
		return fmt.Errorf("forget member %q: %w: %s", node, ErrMemberStays, answer.Problem)
	default:
		return nil
	}
}

// Order gives an order to the cluster: messages.HoldConfig, ReleaseConfig, CordonNode or
// UncordonNode. It returns once the store has it. ErrNoSubject, ErrOrderRefused with the reason,
// ErrStopped, or the error of ctx; with other errors the store may have it or not.
func (c *Client) Order(ctx context.Context, o messages.Order) error {
	answer, err := ask[messages.OrderTaken](ctx, c, o)
	switch {
	case err != nil:
		return err
	case !answer.Known:
		return ErrNoSubject
	case answer.Refused:
		return fmt.Errorf("%w: %s", ErrOrderRefused, answer.Problem)
	case answer.Problem != "":
		return errors.New(answer.Problem)
	default:
		return nil
	}
}

// ReplaceLocal replaces all local documents. It does not wait.
func (c *Client) ReplaceLocal(documents ...messages.Document) {
	c.system.Root.Send(c.supervisor, messages.ReplaceLocal{Documents: messages.NewList(documents...)})
}

// DefaultsChanged makes the tree parse every document again. Call it once Options.Parse goes by the
// new defaults, of which digest is only shown in the log. It does not wait.
func (c *Client) DefaultsChanged(digest messages.Digest) {
	c.system.Root.Send(c.supervisor, messages.DefaultsChanged{Digest: digest})
}

// Stop stops the tree in good order: scraping ends, what is left is sent, and everything is closed,
// bounded by ctx's deadline and by each config's remote_flush_deadline. It returns once the
// supervisor has ended. ErrUnfinished if instances were still busy when the time was up, or the
// error of ctx; what they hold is then released in the background. Nil if the supervisor had ended
// before.
func Stop(ctx context.Context, system *actor.ActorSystem, supervisor *actor.PID) error {
	within := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		// The supervisor has to be done a little before, or its answer would come too late.
		within = max(left-min(left/20, 500*time.Millisecond), 1)
	}
	answers := make(chan any, 2)
	asker := spawnAsker(system, supervisor, messages.StopTree{Within: within}, answers)
	defer system.Root.Stop(asker)
	var unfinished error
	for {
		select {
		case answer := <-answers:
			stopped, ok := answer.(messages.TreeStopped)
			if !ok {
				return unfinished
			}
			unfinished = unfinishedError(stopped)
		case <-ctx.Done():
			system.Root.Stop(supervisor)
			return fmt.Errorf("stop the tree: %w", ctx.Err())
		}
	}
}

func unfinishedError(stopped messages.TreeStopped) error {
	if stopped.Unfinished.Len() == 0 {
		return nil
	}
	var names []string
	for u := range stopped.Unfinished.All() {
		names = append(names, u.String())
	}
	return fmt.Errorf("stop the tree: %w: %s", ErrUnfinished, strings.Join(names, ", "))
}

// ask sends a question and waits for the answer.
func ask[T any](ctx context.Context, c *Client, question any) (T, error) {
	answers := make(chan any, 2)
	asker := spawnAsker(c.system, c.supervisor, question, answers)
	defer c.system.Root.Stop(asker)
	var none T
	select {
	case answer := <-answers:
		if t, ok := answer.(T); ok {
			return t, nil
		}
		return none, ErrStopped
	case <-ctx.Done():
		return none, fmt.Errorf("ask the supervisor: %w", ctx.Err())
	}
}

// noMoreAnswers is the last that an asker passes on: whoever was asked is gone.
type noMoreAnswers struct{}

// spawnAsker spawns an actor that asks, watches whom it asked, and passes on the answers, the last
// of which is noMoreAnswers. (protoactor's futures race when two answers come, and can't be bound
// to a context.)
func spawnAsker(system *actor.ActorSystem, whom *actor.PID, question any, answers chan<- any) *actor.PID {
	return system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Watch(whom)
			c.Request(whom, question)
		case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		case *actor.DeadLetterResponse: // the watch says the same
		case *actor.Terminated:
			// It overtakes an answer that was sent before it; a message to oneself does not.
			c.Send(c.Self(), noMoreAnswers{})
		default:
			select {
			case answers <- m:
			default: // nobody waits any more
			}
		}
	}))
}

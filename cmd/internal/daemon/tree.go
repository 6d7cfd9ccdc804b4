package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
)

// ErrTreeHangs says that the supervisor did not end although it had to: a bug. Whatever it still
// does ends with the process.
var ErrTreeHangs = errors.New("the supervisor does not end")

// endTimeout is how long the tree may take to end when it was given up.
const endTimeout = 5 * time.Second

// tree is the supervisor and everything below it.
type tree struct {
	system  *actor.ActorSystem
	pid     *actor.PID
	client  *actors.Client
	logger  *zap.Logger
	timeout time.Duration

	ended    <-chan struct{}
	stopping chan struct{}
	stopOnce sync.Once
	// hangs is closed when the tree has not ended within grace after its stop.
	hangs chan struct{}
	grace time.Duration
}

func (d *daemon) spawnTree() *tree {
	system := actors.NewSystem(d.Logger.Logger)
	pid := system.Root.Spawn(d.supervisor.Props())
	return &tree{
		system:   system,
		pid:      pid,
		client:   d.supervisor.Client(),
		logger:   d.Logger.Logger,
		timeout:  d.ShutdownTimeout,
		ended:    watch(system, pid),
		stopping: make(chan struct{}),
		hangs:    make(chan struct{}),
		grace:    endTimeout,
	}
}

// watch returns a channel that is closed when the actor has ended.
func watch(system *actor.ActorSystem, pid *actor.PID) <-chan struct{} {
	ended := make(chan struct{})
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch c.Message().(type) {
		case *actor.Started:
			c.Watch(pid)
		case *actor.Terminated:
			close(ended)
			c.Stop(c.Self())
		}
	}))
	return ended
}

// wait returns when the tree has ended: an error if nobody asked for it, or if it was asked and
// does not end.
func (t *tree) wait() error {
	select {
	case <-t.ended:
	case <-t.hangs:
		return ErrTreeHangs
	}
	select {
	case <-t.stopping:
		return nil
	default:
		return ErrTreeEnded
	}
}

// stop ends the tree in order, bounded by the shutdown timeout.
func (t *tree) stop() {
	t.stopOnce.Do(func() {
		close(t.stopping)
		notify(t.logger, systemd.SdNotifyStopping)
		ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
		defer cancel()
		if err := actors.Stop(ctx, t.system, t.pid); err != nil {
			t.logger.Error("instances were not stopped in time; what they had not sent is on disk", zap.Error(err))
		}
		select {
		case <-t.ended:
		case <-time.After(t.grace):
			close(t.hangs)
		}
	})
}

// notifyReady tells systemd, if it started us, that the agent serves.
func notifyReady(logger *zap.Logger) { notify(logger, systemd.SdNotifyReady) }

func notify(logger *zap.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		logger.Warn("cannot notify systemd", zap.Error(err))
	}
}

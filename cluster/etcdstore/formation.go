package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// ErrDataLost says that a member of a quorum came with an empty directory although its cluster has seen it before. What it
// has voted for is forgotten, so it must not vote again: Store.ReplaceMember, on another member, gives it a new identity.
var ErrDataLost = errors.New("this member's directory is empty, but its cluster has seen it before: restore the directory, " +
	"or ask another agent to replace this one (POST /-/store/replace/NAME) and start this one again")

const (
	// waitingPath is where a member with an empty directory tells others that it waits. Once its etcd runs, membersPath is
	// answered there instead.
	waitingPath = "/ringmaster/waiting"
	membersPath = "/members"
	// askEvery is the time between two rounds of questions to the other members, each of which may take askTimeout.
	askEvery   = 250 * time.Millisecond
	askTimeout = diagnoseTimeout
	// waitingMessage is logged when that changes who is missing, and from time to time.
	waitingMessage = "waiting for the other members, to start the cluster for the first time"
	// maxAnswer is more than any answer has.
	maxAnswer = 1 << 20
)

// waiting is what a member with an empty directory says of itself.
type waiting struct {
	Name    string            `json:"name"`
	Members map[string]string `json:"members"`
	Token   string            `json:"token"`
}

// answer is what another member said: that it waits, or what the members of its cluster are.
type answer struct {
	waiting *waiting
	cluster string // ID
	members []*membership.Member
	err     error // nobody answered, or something that is no member
}

// form waits, for a member whose directory is empty, until it is certain whether the cluster is new. While a single
// member of the list is silent it might know of a cluster whose members, this one included, have lost their disks, and a
// new cluster in its place would bury the old one. So a cluster's first start takes all its members.
//
// join is true if this member was replaced: then it has a new identity, and any member that knows it is enough.
func (r *roster) form(ctx context.Context, dir string, logger *zap.Logger) (join bool, err error) {
	if wal.Exist(filepath.Join(dir, "member", "wal")) {
		return false, nil
	}
	stop, err := r.serveWaiting()
	if err != nil {
		return false, err
	}
	defer stop()
	rt, err := r.transport()
	if err != nil {
		return false, err
	}
	var told string
	var toldAt time.Time
	for {
		answers := r.askAll(ctx, rt)
		ready, join, err := r.decide(answers)
		if err != nil || ready {
			return join, err
		}
		silent := describe(answers)
		if silent != told || time.Since(toldAt) > remindEvery {
			told, toldAt = silent, time.Now()
			logger.Info(waitingMessage, zap.String("missing", silent))
		}
		if !sleep(ctx, askEvery) {
			return false, fmt.Errorf("wait for %s: %w", silent, context.Cause(ctx))
		}
	}
}

// serveWaiting tells the others that this member waits, until stop.
func (r *roster) serveWaiting() (stop func(), err error) {
	listener, err := transport.NewListener(r.listen.Host, r.listen.Scheme, &r.tls)
	if err != nil {
		return nil, fmt.Errorf("listen for the other members: %w", err)
	}
	self, err := json.Marshal(waiting{Name: r.name, Members: r.peers, Token: r.token})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+waitingPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(self) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: askTimeout, ErrorLog: zap.NewStdLog(zap.NewNop())}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(listener) })
	return func() {
		_ = srv.Close()
		serving.Wait()
	}, nil
}

// transport is how to ask other members.
func (r *roster) transport() (http.RoundTripper, error) {
	rt, err := transport.NewTransport(r.tls, askTimeout)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to the other members: %w", err)
	}
	rt.DisableKeepAlives = true
	return rt, nil
}

func (r *roster) askAll(ctx context.Context, rt http.RoundTripper) map[string]answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answers := map[string]answer{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range r.others() {
		wg.Go(func() {
			a := ask(ctx, rt, r.peers[name])
			mu.Lock()
			defer mu.Unlock()
			answers[name] = a
		})
	}
	wg.Wait()
	return answers
}

// ask asks one member, first as one that runs.
func ask(ctx context.Context, rt http.RoundTripper, peer string) (a answer) {
	header, found, err := getJSON(ctx, rt, peer+membersPath, &a.members)
	if err != nil {
		return answer{err: err}
	}
	if found {
		a.cluster = header.Get("X-Etcd-Cluster-ID")
		if len(a.members) == 0 {
			a.err = errors.New("it is starting")
		}
		return a
	}
	_, found, err = getJSON(ctx, rt, peer+waitingPath, &a.waiting)
	if err == nil && (!found || a.waiting == nil) {
		err = errors.New("something answers, but it is no member of a quorum")
	}
	a.err = err
	return a
}

// getJSON is false if there is no such path.
func getJSON(ctx context.Context, rt http.RoundTripper, url string, into any) (http.Header, bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return nil, false, explainConnection(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, false, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, false, err
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, into) != nil {
		return nil, false, fmt.Errorf("something answers, but it is no member of a quorum (HTTP status %d)", resp.StatusCode)
	}
	return resp.Header, true, nil
}

// decide says whether a member with an empty directory may start. It is pure.
func (r *roster) decide(answers map[string]answer) (ready, join bool, err error) {
	own := r.cluster.MemberByName(r.name).ID
	var lost, silent bool
	for _, name := range r.others() {
		a := answers[name]
		if a.err != nil {
			silent = true
			continue
		}
		if err := r.contradiction(name, a); err != nil {
			return false, false, err
		}
		if a.waiting != nil {
			continue
		}
		me := memberAt(a.members, r.peers[r.name])
		switch {
		case me == nil:
			return false, false, fmt.Errorf("member %s says that this one, at %s, was taken out of the cluster: "+
				"have another member replace it, then start it again", name, r.peers[r.name])
		case len(me.ClientURLs) > 0: // it has been started, see apply
			lost = true
		case me.ID != own:
			join = true
		}
	}
	switch {
	case join:
		return true, true, nil
	case lost:
		return false, false, ErrDataLost
	default:
		return !silent, false, nil
	}
}

// contradiction is what makes it impossible that a member belongs to the same cluster as this one.
func (r *roster) contradiction(name string, a answer) error {
	if w := a.waiting; w != nil {
		switch {
		case w.Name != name:
			return fmt.Errorf("at the address of member %s, %s, is a member that calls itself %s", name, r.peers[name], w.Name)
		case !maps.Equal(w.Members, r.peers):
			return fmt.Errorf("member %s has another list of members: %s, the list here says %s", name, (&roster{peers: w.Members}).list(), r.list())
		case w.Token != r.token:
			return fmt.Errorf("member %s has another token: %q, not %q", name, w.Token, r.token)
		}
		return nil
	}
	if difference := r.differs(a.members); difference != "" {
		return fmt.Errorf("member %s belongs to a cluster of other members: %s", name, difference)
	}
	if a.cluster != r.cluster.ID().String() {
		return fmt.Errorf("member %s belongs to another cluster, which was formed with another token or another list of members", name)
	}
	return nil
}

// describe names the members that are silent, and why.
func describe(answers map[string]answer) string {
	var silent []string
	for name, a := range answers {
		if a.err != nil {
			silent = append(silent, fmt.Sprintf("%s (%s)", name, a.err))
		}
	}
	slices.Sort(silent)
	return strings.Join(silent, "; ")
}

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

// ErrDataLost says that a member of a quorum came with an empty directory although its cluster has
// seen it before. What it has voted for is forgotten, so it must not vote again:
// Store.ReplaceMember, on another member, gives it a new identity.
var ErrDataLost = errors.New("this member's directory is empty, but its cluster has seen it before: restore the directory, " +
	"or ask another agent to replace this one (POST /-/store/replace/NAME) and start this one again")

const (
	// waitingPath is where a member with an empty directory tells others that it waits. Once its
	// etcd runs, membersPath is answered there instead.
	waitingPath = "/ringmaster/waiting"
	membersPath = "/members"
	// askEvery is the time between two rounds of questions to the other members, each of which may
	// take askTimeout.
	askEvery   = 250 * time.Millisecond
	askTimeout = diagnoseTimeout
	// waitingMessage is logged when that changes who is missing, and from time to time.
	waitingMessage = "waiting for the other members, to start the cluster for the first time"
	// doubtMessage is logged when the others' answers about this member differ.
	doubtMessage = "the other members don't agree about this one, asking again"
	// maxAnswer is more than any answer has.
	maxAnswer = 1 << 20
	// doubtTime is how long a verdict on which the other members don't agree must stay the same
	// before it is acted on. A member that was replaced a moment ago is still unknown to a follower
	// that is behind by some heartbeats (100 ms each).
	doubtTime = 3 * time.Second
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

// form waits, for a member whose directory is empty, until it is certain whether the cluster is
// new. While a single member of the list is silent it might know of a cluster whose members, this
// one included, have lost their disks, and a new cluster in its place would bury the old one. So a
// cluster's first start takes all its members.
//
// join is true if this member was replaced: then it has a new identity, and any member that knows
// it is enough.
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
	var told, last verdict
	var toldAt, since time.Time // since: when the last verdict was first reached
	for {
		answers := r.askAll(ctx, rt)
		v := r.decide(answers)
		if !v.equal(last) {
			last, since = v, time.Now()
		}
		if !v.wait && (v.agreed || time.Since(since) > doubtTime) {
			return v.join, v.refusal
		}
		if !v.equal(told) || v.silent != told.silent || time.Since(toldAt) > remindEvery {
			told, toldAt = v, time.Now()
			v.log(logger)
		}
		if !sleep(ctx, askEvery) {
			return false, fmt.Errorf("wait for %s: %w", v.describe(), context.Cause(ctx))
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
			if a.err == nil && a.waiting == nil && r.incomplete(a.members, a.cluster) {
				a.err = errStarting
			}
			mu.Lock()
			defer mu.Unlock()
			answers[name] = a
		})
	}
	wg.Wait()
	return answers
}

// errStarting is said of a member that has not read its own log to the end.
var errStarting = errors.New("it is starting")

// ask asks one member, first as one that runs.
func ask(ctx context.Context, rt http.RoundTripper, peer string) (a answer) {
	header, found, err := getJSON(ctx, rt, peer+membersPath, &a.members)
	if err != nil {
		return answer{err: err}
	}
	if found {
		a.cluster = header.Get("X-Etcd-Cluster-ID")
		if len(a.members) == 0 {
			a.err = errStarting
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

// verdict is what the other members' answers mean for a member with an empty directory.
type verdict struct {
	wait    bool  // it is not yet certain whether the cluster is new
	join    bool  // start with a new identity
	refusal error // don't start
	// agreed: no other member is silent or says otherwise. If not, one of them may be behind the
	// others.
	agreed bool
	// silent names the members that didn't answer, and why; empty if all did.
	silent string
}

// equal compares what the verdicts mean, not why a silent member is silent.
func (v verdict) equal(o verdict) bool {
	return v.wait == o.wait && v.join == o.join && v.agreed == o.agreed && fmt.Sprint(v.refusal) == fmt.Sprint(o.refusal)
}

func (v verdict) log(logger *zap.Logger) {
	if v.wait {
		logger.Info(waitingMessage, zap.String("missing", v.silent))
		return
	}
	logger.Info(doubtMessage, zap.String("missing", v.silent), zap.NamedError("refusal", v.refusal))
}

// describe says what a start waits for.
func (v verdict) describe() string {
	switch {
	case v.silent != "":
		return v.silent
	case v.refusal != nil:
		return "members that agree, because " + v.refusal.Error()
	default:
		return "a member that has not heard that this one was replaced"
	}
}

// decide says whether a member with an empty directory may start. It is pure.
func (r *roster) decide(answers map[string]answer) verdict {
	own := r.cluster.MemberByName(r.name).ID
	v := verdict{silent: describe(answers)}
	var replaced, lost, fresh int
	var out []string
	for _, name := range r.others() {
		a := answers[name]
		if a.err != nil {
			continue
		}
		if err := r.contradiction(name, a); err != nil {
			v.refusal, v.agreed = err, true
			return v
		}
		if a.waiting != nil {
			continue
		}
		switch me := memberAt(a.members, r.peers[r.name]); {
		case me == nil:
			out = append(out, name)
		case len(me.ClientURLs) > 0: // it has been started, see apply
			lost++
		case me.ID != own:
			replaced++
		default:
			fresh++
		}
	}
	others := len(r.others())
	switch {
	case replaced > 0:
		// etcd takes the list of members from whichever answers first, and gives up if this one
		// isn't in it. Silence is no reason to wait: any member that knows the new identity is
		// enough.
		v.join, v.agreed = true, lost+len(out)+fresh == 0
	case len(out) > 0:
		v.agreed = len(out) == others
		v.refusal = fmt.Errorf("member %s says that this one, at %s, was taken out of the cluster: "+
			"have another member replace it, then start it again", strings.Join(out, ", "), r.peers[r.name])
	case lost > 0:
		v.refusal, v.agreed = ErrDataLost, lost == others
	default:
		v.wait, v.agreed = v.silent != "", true
	}
	return v
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
	if difference := r.differs(a.members, a.cluster); difference != "" {
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

package consulstore

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
	"github.com/ringmaster-agent/ringmaster/cluster/storetest"
)

// binary is a real Consul; see task consul.
var binary = flag.String("consul", "", "path of a Consul binary") //nolint:forbidigo // of the test binary

// onConsul is a store on a real Consul.
type onConsul struct {
	*Store
	process *consultest.Process
}

func (s onConsul) Share(t *testing.T) cluster.Store { return s.dial(t, Config{}).Store }
func (s onConsul) ForgetsDeletions()                {}
func (s onConsul) ValueLimit() int                  { return MaxValue }
func (s onConsul) BatchStep() int                   { return maxOps / 2 }

func (s onConsul) Rewind(t *testing.T) {
	s.process.Stop()
	require.NoError(t, s.process.Start(t.Context()))
}

func (s onConsul) dial(t *testing.T, conf Config) onConsul {
	t.Helper()
	conf.Host = s.process.Address()
	s.Store = dialAt(t, conf)
	return s
}

// consul starts a real Consul, whose sessions may be as short as a second.
func consul(t *testing.T, args ...string) onConsul {
	t.Helper()
	if *binary == "" {
		t.Skip("no real Consul; task consul builds one and passes it with -consul")
	}
	p, err := consultest.StartProcess(t.Context(), *binary, t.TempDir(), append(args, "-hcl", `session_ttl_min="1s"`)...)
	require.NoError(t, err)
	t.Cleanup(p.Stop)
	return onConsul{process: p}
}

func TestConformanceOnARealConsul(t *testing.T) {
	s := consul(t)
	storetest.Run(t, func(t *testing.T) cluster.Store {
		if strings.Contains(t.Name(), "/history/") {
			s.Rewind(t)
		}
		require.NoError(t, s.process.Empty(t.Context()))
		return s.dial(t, Config{})
	})
}

// A node takes over what a joiner had, restores or not; so it has to hear of a restore at once,
// also when somebody writes in the meantime.
func TestARestoreOfARealConsulIsARelist(t *testing.T) {
	for _, test := range []struct {
		name  string
		write bool // right after the restore
	}{{"and nothing else", false}, {"and a write behind it", true}} {
		t.Run(test.name, func(t *testing.T) {
			s := consul(t).dial(t, Config{})
			old := put(t, s, "p/k", "old")
			r, _, err := s.consul.Snapshot().Save(nil)
			require.NoError(t, err)
			snapshot, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			put(t, s, "p/k", "new")
			events := s.Watch(t.Context(), "p/", revisionOf(t, s, "p/"))
			put(t, s, "p/known", "v")
			require.Equal(t, "p/known", next(t, events).Entry.Key)
			before, err := s.List(t.Context(), "p/")
			require.NoError(t, err)

			restored := time.Now()
			require.NoError(t, s.consul.Snapshot().Restore(nil, bytes.NewReader(snapshot)))
			if test.write {
				put(t, s, "p/x", "v")
			}
			require.Equal(t, cluster.EventRelist, next(t, events).Kind)
			t.Logf("the restore was told after %s", time.Since(restored))
			require.Less(t, time.Since(restored), blockFor/2)
			after, err := s.List(t.Context(), "p/")
			require.NoError(t, err)
			require.Equal(t, old, after.Entries[0].Revision)
			require.NotEqual(t, before.Era, after.Era)
		})
	}
}

func TestARealConsulKeepsASessionThatBelongsToNoMachine(t *testing.T) {
	s := consul(t).dial(t, Config{})
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	info, _, err := s.consul.Session().Info(sess.ID(), nil)
	require.NoError(t, err)
	require.Equal(t, SessionNode, info.Node)
	require.Zero(t, info.LockDelay)
}

func TestWhatATokenNeedsOnARealConsul(t *testing.T) {
	s := consul(t, "-hcl", `acl { enabled = true, default_policy = "deny", tokens { initial_management = "`+consultest.ManagementToken+`", agent = "`+
		consultest.ManagementToken+`" } }`)
	admin := s.dial(t, Config{ACLToken: consultest.ManagementToken})
	token := func(name, rules string) string {
		_, _, err := admin.consul.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
		require.NoError(t, err)
		made, _, err := admin.consul.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{Name: name}}}, nil)
		require.NoError(t, err)
		return made.SecretID
	}
	const least = `key_prefix "p/" { policy = "write" } session_prefix "" { policy = "write" }`
	for name, test := range map[string]struct {
		rules    string
		external bool
	}{
		"least":       {least, false},
		"recommended": {least + ` node "` + SessionNode + `" { policy = "write" }`, true},
	} {
		logger, logs := logged()
		user := s.dial(t, Config{ACLToken: token(name, test.rules), Logger: logger})
		sess, err := user.OpenSession(t.Context(), time.Minute)
		require.NoError(t, err, name)
		_, err = user.Put(t.Context(), cluster.PutRequest{Key: "p/claim", Session: sess})
		require.NoError(t, err, name)
		require.Positive(t, revisionOf(t, user, "p/"))
		info, _, err := admin.consul.Session().Info(sess.ID(), nil)
		require.NoError(t, err)
		require.Equal(t, test.external, info.Node == SessionNode, name)
		require.Equal(t, test.external, logs.Len() == 0, "%s: %v", name, messages(logs))
		require.NoError(t, sess.Close(t.Context()))
	}
}

func TestARealConsulTakesTheLargestValueAndNoLarger(t *testing.T) {
	s := consul(t).dial(t, Config{})
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	longest := strings.Repeat("\x1f", 253)
	for range 2 {
		_, err = s.Put(t.Context(), cluster.PutRequest{Key: longest, Value: make([]byte, MaxValue), Session: sess})
		require.NoError(t, err)
	}
}

func TestHowLongARealConsulKeepsASessionThatIsRenewedNoLonger(t *testing.T) {
	s := consul(t)
	const ttl = 2 * time.Second
	owner := s.dial(t, Config{}).Store
	sess, err := owner.OpenSession(t.Context(), ttl)
	require.NoError(t, err)
	_, err = owner.Put(t.Context(), cluster.PutRequest{Key: "claim", Session: sess})
	require.NoError(t, err)
	witness := s.dial(t, Config{})
	events := witness.Watch(t.Context(), "", revisionOf(t, witness, ""))
	killed := time.Now()
	require.NoError(t, owner.Close()) // as a kill: nobody renews
	require.Equal(t, cluster.EventDelete, next(t, events).Kind)
	t.Logf("the keys of a session of %s went %s after its last renewal at the latest", ttl, time.Since(killed))
	require.GreaterOrEqual(t, time.Since(killed), 2*ttl-time.Second, "Consul waits for two TTLs")
}

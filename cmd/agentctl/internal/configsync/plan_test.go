package configsync_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/configsync"
)

func TestPlan(t *testing.T) {
	file := func(name, text string) configsync.File { return configsync.File{Name: name, Text: text} }
	broken := configsync.File{Name: "broken", Err: errors.New("bad")}
	stored := func(name, text string, revision int64) apiclient.Config {
		return apiclient.Config{Name: name, Digest: apiclient.Digest(text), Revision: revision}
	}
	undecodable := apiclient.Config{Name: "garbage", Revision: 9}
	exact := func(configs ...apiclient.Config) apiclient.Listing {
		return apiclient.Listing{Configs: configs, Exact: true}
	}
	for _, tc := range []struct {
		name   string
		files  []configsync.File
		stored apiclient.Listing
		want   configsync.Plan
	}{
		{"nothing anywhere", nil, exact(), configsync.Plan{}},
		{"new", []configsync.File{file("a", "1")}, exact(), configsync.Plan{
			Create: []configsync.Upload{{File: file("a", "1"), If: apiclient.Condition{Absent: true}}},
		}},
		{"equal", []configsync.File{file("a", "1")}, exact(stored("a", "1", 4)), configsync.Plan{Unchanged: 1, Stored: 1}},
		{"other", []configsync.File{file("a", "2")}, exact(stored("a", "1", 4)), configsync.Plan{
			Update: []configsync.Upload{{File: file("a", "2"), If: apiclient.Condition{Revision: 4}}}, Stored: 1,
		}},
		{"what can't be decoded is replaced", []configsync.File{file("garbage", "")}, exact(undecodable), configsync.Plan{
			Update: []configsync.Upload{{File: file("garbage", ""), If: apiclient.Condition{Revision: 9}}}, Stored: 1,
		}},
		{"gone", nil, exact(stored("a", "1", 4)), configsync.Plan{Delete: []apiclient.Config{stored("a", "1", 4)}, Stored: 1}},
		{"broken protects", []configsync.File{broken}, exact(stored("broken", "1", 4)), configsync.Plan{Failed: []configsync.File{broken}, Stored: 1}},
		{
			"a server without digests", []configsync.File{file("a", "1"), file("b", "1")},
			apiclient.Listing{Configs: []apiclient.Config{{Name: "a"}, {Name: "c"}}},
			configsync.Plan{
				Create: []configsync.Upload{{File: file("b", "1")}}, Unsure: []configsync.Upload{{File: file("a", "1")}},
				Delete: []apiclient.Config{{Name: "c"}}, Stored: 2,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, configsync.MakePlan(tc.files, tc.stored))
		})
	}
}

func TestMoreThanHalfIsMany(t *testing.T) {
	for _, tc := range []struct {
		deleted, stored int
		want            bool
	}{{0, 0, false}, {1, 1, true}, {1, 2, false}, {2, 3, true}, {50, 100, false}, {51, 100, true}} {
		p := configsync.Plan{Delete: make([]apiclient.Config, tc.deleted), Stored: tc.stored}
		require.Equal(t, tc.want, p.DeletesMany(), tc)
	}
}

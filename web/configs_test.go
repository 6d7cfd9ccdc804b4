package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/web"
)

const (
	configs = "/agent/api/v1/configs"
	oneOf   = "/agent/api/v1/config/"
)

func TestAnUploadThatReplacesNothingReadsNothing(t *testing.T) {
	store := newFakeConfigs(map[string]string{"a": aConfig})
	var checked, forgotten []string
	s := web.New(web.Options{Configs: store, Checked: func(i *config.Instance, by config.InstanceOptions) func() {
		require.Equal(t, i.Name, by.Origin)
		checked = append(checked, i.Name+" "+i.Text)
		return func() { forgotten = append(forgotten, i.Name) }
	}})
	require.Equal(t, 201, call(t, s, "PUT", oneOf+"new", aConfig, "If-None-Match", "*").StatusCode)
	require.Zero(t, store.reads, "of a sync, each config would be read in vain")
	require.Equal(t, 200, call(t, s, "PUT", oneOf+"a", aConfig+"\n").StatusCode)
	require.Equal(t, 1, store.reads)
	require.Equal(t, 400, call(t, s, "PUT", oneOf+"bad", "{[").StatusCode)
	require.Equal(t, []string{"new " + aConfig, "a " + aConfig + "\n"}, checked)
	require.Empty(t, forgotten)

	require.Equal(t, 412, call(t, s, "PUT", oneOf+"a", aConfig, "If-None-Match", "*").StatusCode)
	require.Equal(t, []string{"a"}, forgotten, "it was not stored")
	form := url.Values{"name": {"only-checked"}, "text": {aConfig}, "do": {"check"}}.Encode()
	call(t, s, "POST", "/upload", form, "Content-Type", "application/x-www-form-urlencoded")
	require.Len(t, checked, 3, "an upload that is only checked is not stored")
}

// Every status of the configs API that doesn't need a sick store. The store holds a (revision 1)
// and a/b (2).
func TestStatusOfConfigsAPI(t *testing.T) {
	long := strings.Repeat("x", 253)
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		want                     int
	}{
		{"list", "GET", configs, "", nil, 200},
		{"list by HEAD", "HEAD", configs, "", nil, 200},
		{"get", "GET", configs + "/a", "", nil, 200},
		{"get a name with a slash", "GET", configs + "/a%2Fb", "", nil, 200},
		{"get what is not there", "GET", configs + "/nope", "", nil, 404},
		{"a plus is a plus", "GET", configs + "/a+b", "", nil, 404},
		{"a slash that is not escaped", "GET", configs + "/a/b", "", nil, 404},
		{"get without a name", "GET", configs + "/", "", nil, 400},
		{"get a dot", "GET", configs + "/%2E%2e", "", nil, 400},
		{"get two dots unescaped", "GET", configs + "/..", "", nil, 400},
		{"name that leaves through a slash", "GET", configs + "/a%2F..%2Fb", "", nil, 400},
		{"name with a control character", "PUT", oneOf + "a%00", aConfig, nil, 400},
		{"name that is not UTF-8", "PUT", oneOf + "%ff", aConfig, nil, 400},
		{"name of 254 bytes", "PUT", oneOf + long + "x", aConfig, nil, 400},
		{"name of 253 bytes", "PUT", oneOf + long, aConfig, nil, 201},
		{"create", "PUT", oneOf + "new", aConfig, nil, 201},
		{"create by POST", "POST", oneOf + "new", aConfig, nil, 201},
		{"replace", "PUT", oneOf + "a", aConfig, nil, 200},
		{"put into the plural", "PUT", configs + "/a", aConfig, nil, 405},
		{"get from the singular", "GET", oneOf + "a", "", nil, 405},
		{"put nothing", "PUT", oneOf + "a", "", nil, 400},
		{"put garbage", "PUT", oneOf + "a", "\x00\xff\xfe", nil, 400},
		{"put something that is not YAML", "PUT", oneOf + "a", "{[", nil, 400},
		{"put what may not be", "PUT", oneOf + "a", strings.Replace(aConfig, "basic_auth:", "bearer_token_file: /etc/shadow\n    basic_auth:", 1), nil, 400},
		{"put 2 MiB", "PUT", oneOf + "a", strings.Repeat("#", 2<<20), nil, 413},
		{"delete", "DELETE", oneOf + "a", "", nil, 200},
		{"delete what is not there", "DELETE", oneOf + "nope", "", nil, 404},
		{"delete nothing", "DELETE", oneOf, "", nil, 400},
		{"delete a name that no upload may have", "DELETE", oneOf + "%FF%2F..", "", nil, 404},
		{"replace the revision one knows", "PUT", oneOf + "a", aConfig, []string{"If-Match", `"1"`}, 200},
		{"replace another revision", "PUT", oneOf + "a", aConfig, []string{"If-Match", `"2"`}, 412},
		{"replace by a weak tag", "PUT", oneOf + "a", aConfig, []string{"If-Match", `W/"1"`}, 412},
		{"replace by a foreign tag", "PUT", oneOf + "a", aConfig, []string{"If-Match", `"abc"`}, 412},
		{"replace only what is there", "PUT", oneOf + "new", aConfig, []string{"If-Match", "*"}, 412},
		{"create only what is not there", "PUT", oneOf + "a", aConfig, []string{"If-None-Match", "*"}, 412},
		{"create what is not there", "PUT", oneOf + "new", aConfig, []string{"If-None-Match", "*"}, 201},
		{"tag without quotes", "PUT", oneOf + "a", aConfig, []string{"If-Match", "1"}, 400},
		{"two tags on a write", "PUT", oneOf + "a", aConfig, []string{"If-Match", `"1", "2"`}, 400},
		{"both conditions", "PUT", oneOf + "a", aConfig, []string{"If-Match", "*", "If-None-Match", "*"}, 400},
		{"a write unless it is", "PUT", oneOf + "a", aConfig, []string{"If-None-Match", `"1"`}, 400},
		{"delete another revision", "DELETE", oneOf + "a", "", []string{"If-Match", `"7"`}, 412},
		{"delete the revision one knows", "DELETE", oneOf + "a", "", []string{"If-Match", `"1"`}, 200},
		{"get what one has", "GET", configs + "/a", "", []string{"If-None-Match", `"9", W/"1"`}, 304},
		{"get what one hasn't", "GET", configs + "/a", "", []string{"If-None-Match", `"9"`}, 200},
		{"get if it is as known", "GET", configs + "/a", "", []string{"If-Match", `"9"`}, 412},
		{"get with a broken condition", "GET", configs + "/a", "", []string{"If-None-Match", `"9`}, 400},
		{"upload from a foreign page", "POST", oneOf + "a", aConfig, []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo := newFakeConfigs(map[string]string{"a": aConfig, "a/b": aConfig})
			s := web.New(web.Options{Configs: repo, ReadAPI: true})
			r := call(t, s, tc.method, tc.path, tc.body, tc.headers...)
			require.Equal(t, tc.want, r.StatusCode)
			require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
			if tc.want >= 400 {
				errorOf(t, r)
				require.EqualValues(t, 2, repo.revision, "a refused request writes nothing")
				return
			}
			if tc.want != 304 {
				require.Equal(t, "application/json", r.Header.Get("Content-Type"))
			}
			if tc.method != "DELETE" {
				require.Regexp(t, `^"\d+"$`, r.Header.Get("ETag"))
			}
		})
	}
}

func TestListIsSortedAndNeverNull(t *testing.T) {
	s := web.New(web.Options{Configs: newFakeConfigs(nil)})
	require.JSONEq(t, `{"status":"success","data":{"configs":[]}}`, bodyOf(t, call(t, s, "GET", configs, "")))

	s = web.New(web.Options{Configs: newFakeConfigs(map[string]string{"z": "", "a/b": "", "m": ""})})
	require.JSONEq(t, `{"status":"success","data":{"configs":["a/b","m","z"]}}`, bodyOf(t, call(t, s, "GET", configs, "")))
}

func TestListWithDigestsTellsWhatDiffersWithoutContents(t *testing.T) {
	repo := newFakeConfigs(map[string]string{"a": aConfig})
	repo.configs["garbage"] = cluster.StoredConfig{Name: "garbage", Revision: 7, Err: errors.New("not gzip")}
	s := web.New(web.Options{Configs: repo})

	body := bodyOf(t, call(t, s, "GET", configs+"?digests=true", ""))
	require.NotContains(t, body, "hunter2")
	var got struct {
		Data struct {
			Configs   []string
			Digests   map[string]string
			Revisions map[string]int64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	sum := sha256.Sum256([]byte(aConfig))
	require.Equal(t, []string{"a", "garbage"}, got.Data.Configs)
	require.Equal(t, map[string]string{"a": hex.EncodeToString(sum[:])}, got.Data.Digests)
	require.Equal(t, map[string]int64{"a": 1, "garbage": 7}, got.Data.Revisions)
}

func TestWhatIsPutIsStoredByteForByteUnderItsDecodedName(t *testing.T) {
	repo := newFakeConfigs(nil)
	reg := prometheus.NewRegistry()
	s := web.New(web.Options{Configs: repo, ReadAPI: true, Registerer: reg})

	r := call(t, s, "PUT", oneOf+"team%2Fa+b%25", aConfig)
	require.Equal(t, http.StatusCreated, r.StatusCode)
	require.Equal(t, `"1"`, r.Header.Get("ETag"))
	require.JSONEq(t, `{"status":"success"}`, bodyOf(t, r))
	require.Equal(t, aConfig, repo.configs["team/a+b%"].Text)

	r = call(t, s, "GET", configs+"/team%2Fa+b%25", "")
	require.Equal(t, `"1"`, r.Header.Get("ETag"))
	var got struct{ Data struct{ Value string } }
	require.NoError(t, json.Unmarshal([]byte(bodyOf(t, r)), &got))
	require.NotContains(t, got.Data.Value, "hunter2")
	require.Contains(t, got.Data.Value, "<secret>")
	require.Contains(t, got.Data.Value, "job_name: demo")

	require.Equal(t, 200, call(t, s, "PUT", oneOf+"team%2Fa+b%25", aConfig).StatusCode)
	require.Equal(t, 200, call(t, s, "DELETE", oneOf+"team%2Fa+b%25", "").StatusCode)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP agent_metrics_ha_configs_created_total Configs created through this node's API.
# TYPE agent_metrics_ha_configs_created_total counter
agent_metrics_ha_configs_created_total 1
# HELP agent_metrics_ha_configs_deleted_total Configs deleted through this node's API.
# TYPE agent_metrics_ha_configs_deleted_total counter
agent_metrics_ha_configs_deleted_total 1
# HELP agent_metrics_ha_configs_updated_total Configs updated through this node's API.
# TYPE agent_metrics_ha_configs_updated_total counter
agent_metrics_ha_configs_updated_total 1
`), "agent_metrics_ha_configs_created_total", "agent_metrics_ha_configs_deleted_total", "agent_metrics_ha_configs_updated_total"))
}

func TestARefusedConfigNamesEveryProblemWithItsLine(t *testing.T) {
	s := web.New(web.Options{Configs: newFakeConfigs(nil)})
	text := "bogus: 1\nscrape_configs:\n  - job_name: a\n    bearer_token_file: /etc/shadow\n"
	r := call(t, s, "PUT", oneOf+"broken", text)
	require.Equal(t, 400, r.StatusCode)
	var got struct {
		Data struct {
			Error  string
			Errors []struct {
				Line           int
				Field, Problem string
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(bodyOf(t, r)), &got))
	require.Contains(t, got.Data.Error, "broken:1:")
	require.Contains(t, got.Data.Error, "broken:4:")
	require.Len(t, got.Data.Errors, 2)
	require.Equal(t, 1, got.Data.Errors[0].Line)
	require.Equal(t, 4, got.Data.Errors[1].Line)
	require.Equal(t, "scrape_configs[0].bearer_token_file", got.Data.Errors[1].Field)
}

func TestFilesMayBeReadWhenThePolicyAllowsIt(t *testing.T) {
	allow := false
	s := web.New(web.Options{Configs: newFakeConfigs(nil), InstanceOptions: func(string) config.InstanceOptions {
		return config.InstanceOptions{AllowFiles: allow}
	}})
	text := "scrape_configs:\n  - job_name: a\n    bearer_token_file: /etc/token\n"
	require.Equal(t, 400, call(t, s, "PUT", oneOf+"a", text).StatusCode)
	allow = true // as a reload would
	require.Equal(t, 201, call(t, s, "PUT", oneOf+"a", text).StatusCode)
}

func TestConfigsAPIIsAbsentWithoutTheScrapingService(t *testing.T) {
	s := web.New(web.Options{ReadAPI: true})
	for _, tc := range [][2]string{{"GET", configs}, {"GET", configs + "/a"}, {"PUT", oneOf + "a"}, {"POST", oneOf + "a"}, {"DELETE", oneOf + "a"}} {
		r := call(t, s, tc[0], tc[1], aConfig)
		require.Equal(t, 404, r.StatusCode, tc)
		require.Contains(t, errorOf(t, r), "scraping service is off")
	}
}

func TestContentsAreHiddenWithoutTheReadAPI(t *testing.T) {
	s := web.New(web.Options{
		Configs:     newFakeConfigs(map[string]string{"a": aConfig}),
		AgentConfig: func() (string, error) { return "server: {}\n", nil },
	})
	for _, path := range []string{configs + "/a", configs + "/nope", configs + "/..", "/-/config"} {
		r := call(t, s, "GET", path, "")
		require.Equal(t, 404, r.StatusCode, path)
		require.Equal(t, "text/plain; charset=utf-8", r.Header.Get("Content-Type"), path)
		require.Contains(t, bodyOf(t, r), "-config.enable-read-api")
	}
}

func TestAStoreThatFailsIsA500WithItsReason(t *testing.T) {
	repo := newFakeConfigs(map[string]string{"a": aConfig})
	repo.fault = errors.New("etcd: no leader")
	s := web.New(web.Options{Configs: repo, ReadAPI: true})
	for _, tc := range [][2]string{{"GET", configs}, {"GET", configs + "/a"}, {"PUT", oneOf + "a"}, {"DELETE", oneOf + "a"}} {
		r := call(t, s, tc[0], tc[1], aConfig)
		require.Equal(t, 500, r.StatusCode, tc)
		require.Contains(t, errorOf(t, r), "etcd: no leader")
	}
}

func TestAConfigThatIsTooLongForTheStoreIsA413WithBothFiguresAndTheLimit(t *testing.T) {
	repo := newFakeConfigs(nil)
	repo.fault = fmt.Errorf("put: %w", &cluster.TooLargeError{Key: "a", Size: 400_000, Limit: 385_024, Store: "Consul"})
	r := call(t, web.New(web.Options{Configs: repo}), "PUT", oneOf+"a", aConfig)
	require.Equal(t, 413, r.StatusCode)
	require.Contains(t, errorOf(t, r), fmt.Sprintf("its %d bytes are 400000 when compressed, and Consul accepts 385024", len(aConfig)))
}

func TestAFullStoreIsA507WithTheWayOut(t *testing.T) {
	repo := newFakeConfigs(nil)
	repo.fault = fmt.Errorf("put: %w", &cluster.FullError{Reason: "the store is full: 9 of 10 MiB"})
	r := call(t, web.New(web.Options{Configs: repo}), "PUT", oneOf+"a", aConfig)
	require.Equal(t, 507, r.StatusCode)
	require.Contains(t, errorOf(t, r), "the store is full: 9 of 10 MiB; delete configs, or raise kvstore.embedded.max_size")
}

func TestAStoreThatHangsIsA500InBoundedTime(t *testing.T) {
	repo := newFakeConfigs(nil)
	repo.hang = true
	s := web.New(web.Options{Configs: repo, StoreTimeout: time.Millisecond})
	r := call(t, s, "PUT", oneOf+"a", aConfig)
	require.Equal(t, 500, r.StatusCode)
	require.Contains(t, errorOf(t, r), "the store did not answer in time (1ms)")
}

func TestAnUndecodableStoredConfigIsA500ForItself(t *testing.T) {
	repo := newFakeConfigs(map[string]string{"good": aConfig})
	repo.configs["bad"] = cluster.StoredConfig{Name: "bad", Revision: 3, Err: errors.New("not gzip")}
	s := web.New(web.Options{Configs: repo, ReadAPI: true})
	require.Contains(t, errorOf(t, call(t, s, "GET", configs+"/bad", "")), "not gzip")
	require.Equal(t, 200, call(t, s, "GET", configs+"/good", "").StatusCode)
	require.Contains(t, bodyOf(t, call(t, s, "GET", configs, "")), `["bad","good"]`)
}

func TestWhateverIsInTheStoreCanBeListedAndDeleted(t *testing.T) {
	store := newFakeConfigs(nil)
	var names []string
	for revision, name := range []string{
		"../up", "\x00", "not UTF-8 \xff", "not UTF-8 \xfe", "not UTF-8 \uFFFD", "\xff", strings.Repeat("long", 100), "a\u200bb", ".", "a+b", "%41", "a/b?c#d",
	} {
		store.configs[name] = cluster.StoredConfig{Name: name, Text: aConfig, Revision: int64(revision)}
		names = append(names, name)
	}
	s := web.New(web.Options{Configs: store})
	var listed struct {
		Data struct {
			Configs   []string
			Revisions map[string]int64
			Escaped   []struct {
				Name, Digest string
				Revision     int64
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(bodyOf(t, call(t, s, "GET", configs+"?digests=true", ""))), &listed))
	require.Len(t, listed.Data.Configs, len(names))
	var all []string
	for name, revision := range listed.Data.Revisions {
		require.Equal(t, store.configs[name].Revision, revision)
		all = append(all, name)
	}
	for _, c := range listed.Data.Escaped {
		name, err := url.PathUnescape(c.Name)
		require.NoError(t, err)
		require.Equal(t, store.configs[name].Revision, c.Revision)
		require.Len(t, c.Digest, 64)
		require.Contains(t, listed.Data.Configs, strings.ToValidUTF8(name, "\uFFFD"))
		all = append(all, name)
	}
	require.ElementsMatch(t, names, all)
	for _, name := range all {
		escaped := url.PathEscape(name)
		if name == "." {
			escaped = "%2E"
		}
		require.Equal(t, 200, call(t, s, "DELETE", oneOf+escaped, "").StatusCode, "%q", name)
	}
	require.Empty(t, store.configs)
}

func TestAStoredConfigSaysItsName(t *testing.T) {
	store := newFakeConfigs(nil)
	s := web.New(web.Options{Configs: store})
	require.Equal(t, 201, call(t, s, "PUT", oneOf+"a", aConfig).StatusCode)
	require.Equal(t, aConfig, store.documents["a"].Text)
	require.Contains(t, store.documents["a"].Insert, `name: "a"`)
	require.Equal(t, 200, call(t, s, "PUT", oneOf+"a", "name: a\n"+aConfig).StatusCode)
	require.Empty(t, store.documents["a"].Insert)
	res := call(t, s, "PUT", oneOf+"a", "name: b\n"+aConfig)
	require.Equal(t, 400, res.StatusCode)
	require.Contains(t, errorOf(t, res), "uploaded as")
}

package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/web"
)

// A valid name is stored as itself however many of its bytes are escaped; an invalid one is never
// stored.
func FuzzNamesAreDecodedOnce(f *testing.F) {
	for _, name := range []string{"a", "a/b", "a%2Fb", "a+b", "..", "a/../b", "%", "ü", "\x00", "\xff", "", strings.Repeat("x", 254)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		repo := newFakeConfigs(nil)
		s := web.New(web.Options{Configs: repo})
		r := httptest.NewRequest(http.MethodPut, "/agent/api/v1/config/"+url.PathEscape(name), strings.NewReader(aConfig))
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if config.ValidateName(name) != nil {
			require.Equal(t, http.StatusBadRequest, rec.Code)
			require.Empty(t, repo.configs)
			return
		}
		require.Equal(t, http.StatusCreated, rec.Code)
		require.Contains(t, repo.configs, name)
	})
}

// Whatever the path, the method and the conditions: no panic, no 500, and nothing under an invalid
// name.
func FuzzRequests(f *testing.F) {
	f.Add("PUT", "/agent/api/v1/config/%2e%2e", `"1"`, "*")
	f.Add("DELETE", "/agent/api/v1/config/a%2f..", `W/"1", "2"`, "")
	f.Add("GET", "/agent/api/v1/configs/%zz", "", `"`)
	f.Add("GET", "//debug/ring/../..", "*", ",,")
	f.Fuzz(func(t *testing.T, method, path, match, noneMatch string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || strings.HasPrefix(path, "/debug/pprof") || strings.HasPrefix(path, "/-/support") {
			return
		}
		repo := newFakeConfigs(map[string]string{"a": aConfig})
		s := web.New(web.Options{Configs: repo, ReadAPI: true})
		r := &http.Request{Method: method, URL: u, Host: "localhost", Header: http.Header{}, Body: http.NoBody}
		r.Header.Set("If-Match", match)
		r.Header.Set("If-None-Match", noneMatch)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r.WithContext(t.Context()))
		require.NotEqual(t, http.StatusInternalServerError, rec.Code)
		for name := range repo.configs {
			require.NoError(t, config.ValidateName(name))
		}
	})
}

func FuzzRemoteWriteBodies(f *testing.F) {
	f.Add([]byte{10, 0}, false)
	f.Add([]byte{42, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, v2 bool) {
		contentType := "application/x-protobuf"
		if v2 {
			contentType += ";proto=io.prometheus.write.v2.Request"
		}
		s := writeTo(&fakeLog{}, web.Options{})
		r := call(t, s, "POST", writePath, string(snappy.Encode(nil, body)), "Content-Type", contentType)
		require.Contains(t, []int{204, 400}, r.StatusCode)
	})
}

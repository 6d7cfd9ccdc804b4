package consulstore

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// answer is a transport that answers everything in the same way.
type answer struct {
	status int
	index  uint64
	body   []byte
}

func (a answer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	header := http.Header{}
	if a.index > 0 {
		header.Set("X-Consul-Index", strconv.FormatUint(a.index, 10))
	}
	return &http.Response{
		StatusCode: a.status, Header: header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: req, ProtoMajor: 1,
	}, nil
}

// FuzzAnswers lets every call meet any answer: it must return, with an error or with something that
// makes sense.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`[{"Key":"k","Value":"dg==","Flags":1,"CreateIndex":5,"ModifyIndex":7,"Session":"s"}]`,
		`{"Results":[{"KV":{"Key":"k","ModifyIndex":7,"CreateIndex":5}}],"Errors":null}`,
		`{"Results":null,"Errors":[{"OpIndex":0,"What":"no"},{"OpIndex":-1},null]}`,
		`{"Results":[null,{"KV":null}]}`, `[null]`, `null`, `[]`, `{"ID":"x"}`, ``,
	} {
		for _, status := range []int{200, 404, 409, 500} {
			f.Add(status, uint64(9), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, index uint64, body []byte) {
		if status < 100 || status > 999 {
			t.Skip("no HTTP status")
		}
		s, err := Dial(Config{CASRetryDelay: 1})
		require.NoError(t, err)
		defer s.Close()
		s.consul, err = api.NewClient(&api.Config{HttpClient: &http.Client{
			Transport:     answer{status, index, body},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}})
		require.NoError(t, err)
		if e, err := s.Get(t.Context(), "k"); err == nil {
			require.Equal(t, "k", e.Key)
			require.NotZero(t, e.Revision)
		}
		if l, err := s.List(t.Context(), "k"); err == nil {
			require.NotZero(t, l.Revision)
		}
		res, err := s.Put(t.Context(), cluster.PutRequest{Key: "k"})
		require.True(t, err != nil || res.Revision != 0)
		rev, err := s.Delete(t.Context(), "k", cluster.Condition{Revision: 7})
		require.True(t, err != nil || rev != 0)
		_, err = s.Batch(t.Context(), []cluster.Op{{Put: &cluster.PutRequest{Key: "k"}}, {Put: &cluster.PutRequest{Key: "l"}}})
		require.False(t, errors.Is(err, cluster.ErrClosed))
		_ = s.EndSession(t.Context(), "s")
	})
}

package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestRemoteWriteIsPassedOnOnceToTheNodeThatRunsTheInstance(t *testing.T) {
	l := &fakeLog{}
	runs := httptest.NewServer(writeTo(l, web.Options{Node: "b"}))
	defer runs.Close()
	state := web.ClusterState{
		Units:   []web.Unit{{Config: "team/a", ClaimedBy: "b"}},
		Members: []web.Member{{ID: "a", Address: "127.0.0.1:1"}, {ID: "b", Address: strings.TrimPrefix(runs.URL, "http://")}},
	}
	here := web.New(web.Options{Node: "a", Cluster: &fakeCluster{state: state}, Now: clock})
	r := post(t, here, marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 1, Value: 2})))
	require.Equal(t, http.StatusNoContent, r.StatusCode, bodyOf(t, r))
	require.Equal(t, []string{`{__name__="a"} st=0 t=1 v=2`}, l.committed)

	runs.Close()
	r = post(t, here, marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 2, Value: 2})))
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode, "it does not answer")
	require.NotEmpty(t, r.Header.Get("Retry-After"))

	here = web.New(web.Options{Node: "a", Cluster: &fakeCluster{state: state}, Configs: newFakeConfigs(map[string]string{"team/a": "x"}), Now: clock})
	r = post(t, here, marshalV1(t, v1Series("a")), "Ringmaster-Asked-By", "c")
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode, "what was passed on is not passed on again")
}

func TestRemoteWriteIsPutOffWhileTheInstanceTakesNoSamples(t *testing.T) {
	known := newFakeConfigs(map[string]string{"team/a": "x"})
	down := newFakeConfigs(nil)
	down.fault = errors.New("the store is down")
	for name, test := range map[string]struct {
		options web.Options
		status  int
	}{
		"it starts here": {web.Options{Instances: fakeInstances{
			instances: []web.Instance{{Name: "team/a", Phase: "preparing"}}, appendable: map[string]storage.AppendableV2{}}}, 503},
		"it runs nowhere yet":      {web.Options{Configs: known}, 503},
		"the store can't be asked": {web.Options{Configs: down}, 503},
		"there is no such config":  {web.Options{Configs: newFakeConfigs(nil)}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, web.New(test.options), marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 1, Value: 2})))
			require.Equal(t, test.status, r.StatusCode, bodyOf(t, r))
			require.Equal(t, test.status == 503, r.Header.Get("Retry-After") != "")
		})
	}
}

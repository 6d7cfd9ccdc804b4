package daemon

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// spans is a collector of OpenTelemetry, over gRPC and HTTP.
type spans struct {
	collector.UnimplementedTraceServiceServer

	mu       sync.Mutex
	received []*trace.ResourceSpans
	tenants  map[string]bool
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r.ResourceSpans...)
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	text, err := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(text, &request) != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	answer, _ := s.Export(r.Context(), &request)
	s.mu.Lock()
	s.tenants[r.Header.Get("X-Tenant")] = true
	s.mu.Unlock()
	out, _ := proto.Marshal(answer)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = io.Copy(w, bytes.NewReader(out))
}

// all are the spans so far, by name.
func (s *spans) all() map[string][]*trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := map[string][]*trace.Span{}
	for _, r := range s.received {
		for _, scope := range r.ScopeSpans {
			for _, one := range scope.Spans {
				named[one.Name] = append(named[one.Name], one)
			}
		}
	}
	return named
}

func (s *spans) grpc(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-ended)
	})
	return listener.Addr().String()
}

func (s *spans) http(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// textOf is an attribute of a span, or of what sends it.
func textOf(all []*common.KeyValue, name string) string {
	for _, one := range all {
		if one.Key == name {
			return one.Value.GetStringValue()
		}
	}
	return ""
}

func truthOf(all []*common.KeyValue, name string) bool {
	for _, one := range all {
		if one.Key == name {
			return one.Value.GetBoolValue()
		}
	}
	return false
}

func numberOf(all []*common.KeyValue, name string) int64 {
	for _, one := range all {
		if one.Key == name {
			return one.Value.GetIntValue()
		}
	}
	return -1
}

// traced is an agent that sends spans as the block says, and scrapes a target that is up and one
// that is down, whose address has a password.
func traced(t *testing.T, block string, receiver http.Handler) *running {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("x 1\ny 2\n"))
	}))
	receivers := httptest.NewServer(receiver)
	t.Cleanup(target.Close)
	t.Cleanup(receivers.Close)
	agent := load(t, "metrics:\n  wal_directory: "+filepath.Join(t.TempDir(), "wal")+
		"\n  scraping_service: {enabled: true, gossip: {enabled: false}, lifecycler: {id: node-7}}\n"+block)
	r := startDaemon(t, Options{Agent: agent, sharedStore: memstore.NewServer(nil).Connect(), Version: "v1"})
	text := "scrape_configs:\n- {job_name: up, scrape_interval: 1s, static_configs: [{targets: ['" + strings.TrimPrefix(target.URL, "http://") + "']}]}\n" +
		"- {job_name: down, scrape_interval: 1s, params: {token: [s3cr3t]}, static_configs: [{targets: ['127.0.0.1:1']}]}\n" +
		"remote_write: [{name: central, url: '" + receivers.URL + "', queue_config: {batch_send_deadline: 100ms}}]\n"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.base+"/agent/api/v1/config/app", strings.NewReader(text))
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusCreated, response.StatusCode)
	return r
}

func TestScrapesCommitsAndRequestsAreTraced(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			to := &spans{tenants: map[string]bool{}}
			address := map[string]func(*testing.T) string{"grpc": to.grpc, "http": to.http}[protocol](t)
			var mu sync.Mutex
			parents := map[string]bool{} // that the receiver was told of
			receiver := &receivertest.Receiver{}
			r := traced(t, "tracing: {client_type: "+protocol+", endpoint: '"+address+"', insecure: true, compression: gzip, headers: {X-Tenant: t1}, sampling_fraction: 1}\n",
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if parts := strings.Split(r.Header.Get("Traceparent"), "-"); len(parts) == 4 {
						mu.Lock()
						parents[parts[1]+parts[2]] = true
						mu.Unlock()
					}
					receiver.ServeHTTP(w, r)
				}))
			require.Eventually(t, func() bool {
				found := map[string]bool{}
				for _, s := range to.all()["scrape"] {
					found[textOf(s.Attributes, "job")] = true
				}
				return found["up"] && found["down"] && len(to.all()["remote write"]) > 0
			}, patience, 50*time.Millisecond)
			require.NoError(t, r.end(t))

			all := to.all()
			ids := map[string]*trace.Span{}
			for _, scrape := range all["scrape"] {
				ids[string(scrape.SpanId)] = scrape
				require.Equal(t, "app", textOf(scrape.Attributes, "instance_name"))
				if truthOf(scrape.Attributes, "aborted") {
					continue // by the end of the agent
				}
				if textOf(scrape.Attributes, "job") == "up" {
					require.Equal(t, trace.Status_STATUS_CODE_UNSET, scrape.Status.GetCode(), scrape.Status.GetMessage())
					require.Equal(t, int64(2), numberOf(scrape.Attributes, "samples"))
					require.Equal(t, int64(8), numberOf(scrape.Attributes, "body_bytes"))
					continue
				}
				require.Contains(t, textOf(scrape.Attributes, "target"), "http://127.0.0.1:1/metrics")
				require.NotContains(t, textOf(scrape.Attributes, "target"), "s3cr3t")
				require.Equal(t, trace.Status_STATUS_CODE_ERROR, scrape.Status.Code)
				require.Contains(t, scrape.Status.Message, "connection refused")
				require.NotContains(t, scrape.Status.Message, "s3cr3t")
			}
			require.NotEmpty(t, all["commit"])
			for _, commit := range all["commit"] {
				scrape := ids[string(commit.ParentSpanId)]
				require.NotNil(t, scrape, "a commit is below its scrape")
				require.Equal(t, scrape.TraceId, commit.TraceId)
				require.LessOrEqual(t, scrape.StartTimeUnixNano, commit.StartTimeUnixNano)
				require.LessOrEqual(t, commit.EndTimeUnixNano, scrape.EndTimeUnixNano)
			}
			for _, request := range all["remote write"] {
				require.Equal(t, trace.Span_SPAN_KIND_CLIENT, request.Kind)
				require.Equal(t, "central", textOf(request.Attributes, "remote_name"))
				require.Equal(t, int64(http.StatusNoContent), numberOf(request.Attributes, "http.response.status_code"))
				require.Positive(t, numberOf(request.Attributes, "items"))
				mu.Lock()
				require.True(t, parents[hex.EncodeToString(request.TraceId)+hex.EncodeToString(request.SpanId)], "the receiver is told")
				mu.Unlock()
			}
			require.Equal(t, "ringmaster", textOf(to.received[0].Resource.Attributes, "service.name"))
			require.Equal(t, "node-7", textOf(to.received[0].Resource.Attributes, "service.instance.id"))
			if protocol == "http" {
				require.Equal(t, map[string]bool{"t1": true}, to.tenants)
			}
		})
	}
}

func TestNothingIsTracedThatIsNotSampled(t *testing.T) {
	to := &spans{}
	receiver := &receivertest.Receiver{}
	r := traced(t, "tracing: {endpoint: '"+to.grpc(t)+"', insecure: true, sampling_fraction: 0}\n", receiver)
	require.Eventually(t, func() bool { return receiver.Samples() > 20 }, patience, 20*time.Millisecond)
	require.NoError(t, r.end(t)) // it sends the last spans
	require.Empty(t, to.all())
}

func TestACollectorThatIsNotThereIsSaidOnceAndDelaysNothing(t *testing.T) {
	receiver := &receivertest.Receiver{}
	r := traced(t, "tracing: {client_type: http, endpoint: '127.0.0.1:1', insecure: true, sampling_fraction: 1, timeout: 1s}\n", receiver)
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "spans can't be sent and are lost") }, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool { return receiver.Samples() > 0 }, patience, 20*time.Millisecond)
	require.NoError(t, r.end(t))
	require.Equal(t, 1, strings.Count(r.log.String(), "spans can't be sent"))
}

package etcdstore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
)

// reason says why a probe failed with err. gRPC only knows that its time was over, so each endpoint
// is tried by hand.
func (m *monitor) reason(ctx context.Context, err error) string {
	if !unreachable(err) {
		return err.Error() // the cluster answered: with a refusal
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	reasons := make([]string, len(m.endpoints))
	var wg sync.WaitGroup
	for i, u := range m.endpoints {
		wg.Go(func() {
			problem := diagnose(ctx, u, m.tls)
			if problem == nil {
				// It is etcd, and it is there: then what it said counts.
				problem = fmt.Errorf("it is an etcd, but doesn't answer: %w", err)
			}
			reasons[i] = u.Host + ": " + problem.Error()
		})
	}
	wg.Wait()
	return strings.Join(reasons, "; ")
}

// diagnose returns what is wrong with an endpoint, or nil if it seems to be an etcd. etcd answers
// GET /version beside gRPC.
func diagnose(ctx context.Context, endpoint *url.URL, tlsConfig *tls.Config) error {
	transport := &http.Transport{TLSClientConfig: tlsConfig.Clone(), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.JoinPath("version").String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return explainConnection(ctx, err)
	}
	defer resp.Body.Close()
	// etcd's own answer is some 50 bytes.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	var version struct {
		Server string `json:"etcdserver"`
	}
	switch {
	case json.Unmarshal(body, &version) == nil && version.Server != "":
		return nil
	case resp.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTPS"):
		return errors.New("it wants TLS, and TLS is not enabled for this store")
	default:
		return fmt.Errorf("something answers, but it is not etcd (HTTP status %d%s)", resp.StatusCode, serverName(resp))
	}
}

func serverName(resp *http.Response) string {
	if name := resp.Header.Get("Server"); name != "" {
		return fmt.Sprintf(", server %.40q", name)
	}
	return ""
}

// explainConnection turns the error of an attempt into what an operator can act on.
func explainConnection(ctx context.Context, err error) error {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused, nothing listens there")
	case errors.As(err, &dns):
		return fmt.Errorf("the host name is not known: %w", dns)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("it doesn't speak TLS, and TLS is enabled for this store")
	case errors.As(err, &verification):
		return fmt.Errorf("its certificate is not accepted: %w", verification.Err)
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %s", diagnoseTimeout)
	// net/http has no values for these. The second is what comes of a server that greets before it
	// is asked.
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFailLocked"):
		return errors.New("something answers, but not in HTTP, so it is not etcd")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the method and URL
	}
	return err
}

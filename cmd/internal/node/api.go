package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// requestTimeout bounds one request to the API.
const requestTimeout = 15 * time.Second

func newClient(s Settings) *http.Client {
	return &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DialContext: s.Dial}}
}

// URL of the agent's pages and API, without a slash at its end.
func (n *Node) URL() string { return "http://" + n.address }

// Ready reports whether the agent says that it is ready.
func (n *Node) Ready(ctx context.Context) bool {
	_, err := n.Get(ctx, "/-/ready")
	return err == nil
}

// Put uploads a config.
func (n *Node) Put(ctx context.Context, name, text string) error {
	if _, err := n.do(ctx, http.MethodPut, "/agent/api/v1/config/"+url.PathEscape(name), text); err != nil {
		return fmt.Errorf("upload config %s: %w", name, err)
	}
	return nil
}

// Forget asks for another member's record, and what it holds, to be removed.
func (n *Node) Forget(ctx context.Context, member string) error {
	form := url.Values{"forget": {member}}
	_, err := n.send(ctx, http.MethodPost, "/debug/ring", "application/x-www-form-urlencoded", form.Encode())
	return err
}

// Get returns the body of an answer with status 200.
func (n *Node) Get(ctx context.Context, path string) (string, error) {
	return n.do(ctx, http.MethodGet, path, "")
}

// Metrics are the agent's own, by name.
func (n *Node) Metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	body, err := n.Get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", n.Name, err)
	}
	return families, nil
}

func (n *Node) do(ctx context.Context, method, path, body string) (string, error) {
	return n.send(ctx, method, path, "", body)
}

func (n *Node) send(ctx context.Context, method, path, contentType, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, n.URL()+path, strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", n.Name, path, err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := n.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", n.Name, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", n.Name, path, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("ask %s for %s: %s: %s", n.Name, path, response.Status, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}

// Ask makes a request of the API and returns the body of a success.
func (n *Node) Ask(ctx context.Context, method, path, body string) (string, error) {
	return n.do(ctx, method, path, body)
}

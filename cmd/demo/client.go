package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// client uses the agent as any user does: over its HTTP API.
type client struct {
	base string
	http *http.Client
}

func newClient(address string) *client {
	return &client{base: "http://" + address, http: &http.Client{Timeout: 5 * time.Second}}
}

// instanceConfig is what a user would write into a file.
func instanceConfig(target, receiverURL string) string {
	return fmt.Sprintf(`scrape_configs:
  - job_name: toy
    scrape_interval: 1s
    static_configs:
      - targets: [%q]
remote_write:
  - url: %s
    queue_config:
      batch_send_deadline: 1s
`, target, receiverURL)
}

func (c *client) putConfig(ctx context.Context, name, text string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/agent/api/v1/config/"+name, strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("upload config %s: %w", name, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("upload config %s: %w", name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("upload config %s: %s: %s", name, response.Status, text)
	}
	return nil
}

// account is the agent's own account of its samples.
type account struct {
	scraped, sent, pending float64
}

func (c *client) account(ctx context.Context) (account, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/metrics", nil)
	if err != nil {
		return account{}, fmt.Errorf("read metrics: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return account{}, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return account{}, fmt.Errorf("read metrics: %w", err)
	}
	return account{
		scraped: sum(families["agent_wal_samples_appended_total"]),
		sent:    sum(families["prometheus_remote_storage_samples_total"]),
		pending: sum(families["prometheus_remote_storage_samples_pending"]),
	}, nil
}

func sum(family *dto.MetricFamily) (total float64) {
	for _, metric := range family.GetMetric() {
		total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
	}
	return total
}

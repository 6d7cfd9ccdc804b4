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

func (a *account) add(other account) {
	a.scraped += other.scraped
	a.sent += other.sent
	a.pending += other.pending
}

// accounts are those of all configs, by name.
func (c *client) accounts(ctx context.Context) (map[string]account, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	accounts := map[string]account{}
	for name, field := range map[string]func(*account) *float64{
		"agent_wal_samples_appended_total":          func(a *account) *float64 { return &a.scraped },
		"prometheus_remote_storage_samples_total":   func(a *account) *float64 { return &a.sent },
		"prometheus_remote_storage_samples_pending": func(a *account) *float64 { return &a.pending },
	} {
		for _, metric := range families[name].GetMetric() {
			instance := instanceOf(metric)
			a := accounts[instance]
			*field(&a) += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
			accounts[instance] = a
		}
	}
	return accounts, nil
}

func instanceOf(metric *dto.Metric) string {
	for _, l := range metric.GetLabel() {
		if l.GetName() == "instance_name" {
			return l.GetValue()
		}
	}
	return ""
}

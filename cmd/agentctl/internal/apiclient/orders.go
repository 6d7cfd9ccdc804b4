package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Order is what a person orders of the cluster.
type Order struct {
	// Kind is hold or release, of a config, or cordon, drain or uncordon, of a node.
	Kind, Name string
	// Reason, By and Force are as in the API.
	Reason, By string
	Force      bool
}

// Order gives an order. *Refusal if it is not taken.
func (c *Client) Order(ctx context.Context, o Order) error {
	body, err := json.Marshal(struct {
		Reason string `json:"reason,omitempty"`
		By     string `json:"by,omitempty"`
		Force  bool   `json:"force,omitempty"`
	}{o.Reason, o.By, o.Force})
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	takesBack := o.Kind == "release" || o.Kind == "uncordon"
	path := "/agent/api/v1/cluster/nodes/"
	if o.Kind == "hold" || o.Kind == "release" {
		path = "/agent/api/v1/config/"
	}
	a, err := c.call(ctx, http.MethodPost, path+url.PathEscape(o.Name)+"/"+o.Kind, string(body), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	if takesBack && a.retried && a.status == http.StatusNotFound {
		return nil // an attempt before has done it, and its answer was lost
	}
	return a.decode(nil)
}

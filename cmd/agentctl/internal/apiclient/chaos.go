package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// Faults is what is broken on purpose on a node, and which other nodes could not be told.
type Faults struct {
	Node        string
	Rules       []fault.State
	Unreachable []struct{ Node, Error string }
}

const chaosPath = "/agent/api/v1/chaos"

// Points lists where the agent can be broken, and the kinds of messages.
func (c *Client) Points(ctx context.Context) (points []fault.Info, messages []string, err error) {
	a, err := c.call(ctx, http.MethodGet, chaosPath+"/points", "", nil)
	var data struct {
		Points   []fault.Info
		Messages []string
	}
	if err == nil {
		err = a.decode(&data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list points: %w", err)
	}
	return data.Points, data.Messages, nil
}

// Faults lists what is broken on purpose on the node that is asked.
func (c *Client) Faults(ctx context.Context) (Faults, error) {
	return c.chaos(ctx, http.MethodGet, "/rules", "", false)
}

// Inject puts a rule in force, on the node that is asked or on all.
func (c *Client) Inject(ctx context.Context, r fault.Rule, everywhere bool) (Faults, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return Faults{}, fmt.Errorf("encode rule: %w", err)
	}
	return c.chaos(ctx, http.MethodPut, "/rules/"+url.PathEscape(r.Name), string(text), everywhere)
}

// EndFault ends one rule; all of them if the name is empty.
func (c *Client) EndFault(ctx context.Context, name string, everywhere bool) (Faults, error) {
	if name == "" {
		return c.chaos(ctx, http.MethodPost, "/clear", "", everywhere)
	}
	return c.chaos(ctx, http.MethodDelete, "/rules/"+url.PathEscape(name), "", everywhere)
}

func (c *Client) chaos(ctx context.Context, method, path, body string, everywhere bool) (Faults, error) {
	if everywhere {
		path += "?nodes=all"
	}
	a, err := c.call(ctx, method, chaosPath+path, body, http.Header{"Content-Type": {"application/json"}})
	var data Faults
	if err == nil {
		err = a.decode(&data)
	}
	if err != nil {
		return Faults{}, fmt.Errorf("ask about faults: %w", err)
	}
	return data, nil
}

// Raw makes a request of the agent and returns the body of a success, whatever it is.
func (c *Client) Raw(ctx context.Context, method, path, body string) ([]byte, error) {
	a, err := c.call(ctx, method, path, body, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return nil, err
	}
	if a.status/100 != 2 {
		return nil, a.decode(nil)
	}
	return a.body, nil
}

package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is how many items are asked for at a time.
const pageSize = 1000

// Ask sends a request and returns the data of the answer. Query and form may be nil. *Refusal if
// the agent does not want it.
func (c *Client) Ask(ctx context.Context, method, path string, query, form url.Values) (json.RawMessage, error) {
	header := http.Header{"Accept": {"application/json"}}
	body := ""
	if form != nil {
		body = form.Encode()
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	a, err := c.call(ctx, method, path, body, header)
	if err != nil {
		return nil, err
	}
	var data json.RawMessage
	if err := a.decode(&data); err != nil {
		return nil, err
	}
	return data, nil
}

// Missing is a node whose part of a listing is missing.
type Missing struct {
	Node  string `json:"node"`
	Error string `json:"error"`
}

// Walk asks for all pages of a listing, in the order of the agent. It returns the nodes whose part
// is missing.
func (c *Client) Walk(ctx context.Context, path string, query url.Values) (items []json.RawMessage, missing []Missing, err error) {
	asked := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for name, values := range query {
		asked[name] = values
	}
	seen := map[string]bool{}
	for {
		data, err := c.Ask(ctx, http.MethodGet, path, asked, nil)
		if err != nil {
			return nil, nil, err
		}
		var page struct {
			Items       []json.RawMessage
			Next        string
			Unreachable []Missing
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, nil, fmt.Errorf("decode answer: %w", err)
		}
		items = append(items, page.Items...)
		for _, m := range page.Unreachable {
			if !seen[m.Node] {
				seen[m.Node] = true
				missing = append(missing, m)
			}
		}
		if page.Next == "" {
			return items, missing, nil
		}
		asked.Set("after", page.Next)
	}
}

// Forget removes what a dead member has left in the store. *Refusal if it may live, or is not known.
func (c *Client) Forget(ctx context.Context, node string) error {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	a, err := c.call(ctx, http.MethodPost, "/debug/ring", url.Values{"forget": {node}}.Encode(), header)
	if err != nil {
		return err
	}
	if a.status == http.StatusFound || a.status == http.StatusNotFound && a.retried {
		return nil
	}
	return a.decode(nil)
}

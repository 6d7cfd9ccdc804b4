package apiclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Errors callers decide on.
var (
	// ErrUnreadable says that the agent does not show configs (it runs without
	// -config.enable-read-api).
	ErrUnreadable = errors.New("the agent does not show configs (-config.enable-read-api)")
	// ErrChanged says that a condition did not hold: someone else changed the config meanwhile.
	ErrChanged = errors.New("changed by someone else since it was listed; run again")
)

// Listing is what an agent's store holds.
type Listing struct {
	// Configs are in the order of their names.
	Configs []Config
	// Exact: the agent told digests and revisions. Grafana Agent does not.
	Exact bool
}

// Config is one stored config.
type Config struct {
	Name string
	// Digest is that of Digest(text); empty if the agent tells none, or can't decode what is stored.
	Digest string
	// Revision is 0 if the agent tells none.
	Revision int64
}

// Digest is the hexadecimal SHA-256 of a config's text.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Condition is what must hold for a write. The zero value always holds.
type Condition struct {
	// Absent: there is no such config yet.
	Absent bool
	// Revision, if not 0: the config is still at this revision.
	Revision int64
}

// Refusal is an answer that is not a success.
type Refusal struct {
	Status int
	// Text is what the agent says.
	Text string
	// Problems are what is wrong with an uploaded config, one by one; empty if the agent does not
	// tell them apart.
	Problems []Problem
}

// Problem is one thing that is wrong with a config. Line counts from 1; 0 is unknown.
type Problem struct {
	Line                 int
	Field, Problem, Hint string
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("agent answered %d: %s", r.Status, r.Text) }

// List asks for the names of all configs, with digests and revisions if the agent knows how.
func (c *Client) List(ctx context.Context) (Listing, error) {
	a, err := c.call(ctx, http.MethodGet, "/agent/api/v1/configs?digests=true", "", nil)
	if err != nil {
		return Listing{}, fmt.Errorf("list configs: %w", err)
	}
	var data struct {
		// Configs is a pointer because a listing without it is no listing: to take it for an empty
		// one would mean to believe that everything was deleted.
		Configs   *[]string
		Digests   map[string]string
		Revisions map[string]int64
		Escaped   []struct {
			Name, Digest string
			Revision     int64
		}
	}
	if err := a.decode(&data); err != nil {
		return Listing{}, fmt.Errorf("list configs: %w", err)
	}
	if data.Configs == nil {
		return Listing{}, errors.New("list configs: the answer is not a list of configs; is this the address of an agent?")
	}
	l := Listing{Exact: data.Digests != nil && data.Revisions != nil}
	shown := map[string]int{} // of names that are not UTF-8, as JSON shows them
	for _, e := range data.Escaped {
		name, err := url.PathUnescape(e.Name)
		if err != nil {
			return Listing{}, fmt.Errorf("list configs: %w", err)
		}
		l.Configs = append(l.Configs, Config{Name: name, Digest: e.Digest, Revision: e.Revision})
		shown[strings.ToValidUTF8(name, "\uFFFD")]++
	}
	for _, name := range *data.Configs {
		if shown[name] > 0 {
			shown[name]--
			continue
		}
		l.Configs = append(l.Configs, Config{Name: name, Digest: data.Digests[name], Revision: data.Revisions[name]})
	}
	slices.SortFunc(l.Configs, func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// Get reads one config, with its secrets masked. ErrUnreadable if the agent shows none.
func (c *Client) Get(ctx context.Context, name string) (string, error) {
	a, err := c.call(ctx, http.MethodGet, "/agent/api/v1/configs/"+url.PathEscape(name), "", nil)
	if err != nil {
		return "", fmt.Errorf("get config: %w", err)
	}
	if a.status == http.StatusNotFound && !json.Valid(a.body) {
		return "", ErrUnreadable
	}
	var data struct{ Value string }
	if err := a.decode(&data); err != nil {
		return "", fmt.Errorf("get config: %w", err)
	}
	return data.Value, nil
}

// Put stores one config. ErrChanged if cond does not hold, *Refusal if the agent does not want it.
func (c *Client) Put(ctx context.Context, name, text string, cond Condition) error {
	header := http.Header{"Content-Type": {"application/yaml"}}
	switch {
	case cond.Absent:
		header.Set("If-None-Match", "*")
	case cond.Revision != 0:
		header.Set("If-Match", `"`+strconv.FormatInt(cond.Revision, 10)+`"`)
	}
	a, err := c.call(ctx, http.MethodPut, "/agent/api/v1/config/"+url.PathEscape(name), text, header)
	if err != nil {
		return fmt.Errorf("put config: %w", err)
	}
	if a.status == http.StatusPreconditionFailed && a.retried && c.holds(ctx, name, text) {
		return nil
	}
	return a.decode(nil)
}

// holds tells whether the agent has exactly this text: then an attempt whose answer was lost was
// applied.
func (c *Client) holds(ctx context.Context, name, text string) bool {
	l, err := c.List(ctx)
	if err != nil {
		return false
	}
	for _, one := range l.Configs {
		if one.Name == name {
			return one.Digest == Digest(text)
		}
	}
	return false
}

// Remove removes one config, and it is an error if there is none.
func (c *Client) Remove(ctx context.Context, name string) error {
	_, err := c.Ask(ctx, http.MethodDelete, "/agent/api/v1/config/"+escape(name), nil, nil)
	return err
}

// Delete removes one config; that it is gone already is a success. ErrChanged if it is no longer at
// revision (0: any).
func (c *Client) Delete(ctx context.Context, name string, revision int64) error {
	header := http.Header{}
	if revision != 0 {
		header.Set("If-Match", `"`+strconv.FormatInt(revision, 10)+`"`)
	}
	a, err := c.call(ctx, http.MethodDelete, "/agent/api/v1/config/"+escape(name), "", header)
	if err != nil {
		return fmt.Errorf("delete config: %w", err)
	}
	if err := a.decode(nil); err != nil && !a.gone() {
		return err
	}
	return nil
}

// escape is a name in a path. One of only dots is a part of a path that proxies leave out.
func escape(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// gone tells a config that is not there from an API that is not there: only the former speaks in
// the envelope.
func (a answer) gone() bool {
	return a.status == http.StatusNotFound && json.Valid(a.body) && !strings.Contains(string(a.body), "scraping service is off")
}

// decode reads a success's data, or returns what the agent says instead.
func (a answer) decode(data any) error {
	var env struct {
		Status string
		Data   json.RawMessage
	}
	jsonErr := json.Unmarshal(a.body, &env)
	switch {
	case a.status == http.StatusPreconditionFailed:
		return ErrChanged
	case a.status/100 == 3:
		return &Refusal{Status: a.status, Text: "it redirects to " + a.location + "; give that address"}
	case a.status/100 == 2 && jsonErr == nil && env.Status == "success":
		if data == nil || len(env.Data) == 0 {
			return nil
		}
		if err := json.Unmarshal(env.Data, data); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		return nil
	case a.status/100 == 2:
		return errors.New("the answer is not that of an agent's API; is this the address of an agent?")
	}
	r := &Refusal{Status: a.status, Text: strings.TrimSpace(string(a.body[:min(len(a.body), 1000)]))}
	var problem struct {
		Error  string
		Errors []Problem
	}
	if jsonErr == nil && json.Unmarshal(env.Data, &problem) == nil && problem.Error != "" {
		r.Text, r.Problems = problem.Error, problem.Errors
	}
	return r
}

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// healthTimeout bounds one probe of a container or an init system.
const healthTimeout = 5 * time.Second

// probe asks the agent that listens on address whether it is healthy, over TLS if it has that. The
// certificate is not looked at: the probe sends nothing that is secret, and asks this machine only.
func probe(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("read -server.http.address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	var failed error
	for _, scheme := range []string{"http", "https"} {
		if failed = healthy(ctx, &http.Client{Transport: transport}, scheme+"://"+net.JoinHostPort(host, port)+"/-/healthy"); failed == nil {
			return nil
		}
	}
	return failed
}

// healthy wants 200, or 401: an agent that asks for a password is alive.
func healthy(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProbeTellsAnAgentThatAnswersFromOneThatDoesNot(t *testing.T) {
	status := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/healthy" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
	})
	plain, secured := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secured.Close()
	ask := func(url string) (int, string) {
		_, address, _ := strings.Cut(url, "://")
		var problems bytes.Buffer
		code := execute([]string{"-health", "-server.http.address", address}, io.Discard, &problems)
		return code, problems.String()
	}
	for _, url := range []string{plain.URL, secured.URL, strings.Replace(plain.URL, "127.0.0.1", "0.0.0.0", 1)} {
		code, problem := ask(url)
		require.Equal(t, exitDone, code, problem)
	}
	status = http.StatusServiceUnavailable
	code, problem := ask(plain.URL)
	require.Equal(t, exitFailed, code)
	require.NotEmpty(t, problem)
	code, _ = ask("http://127.0.0.1:1")
	require.Equal(t, exitFailed, code)
	code, problem = ask("http://nonsense")
	require.Equal(t, exitFailed, code)
	require.Contains(t, problem, "read -server.http.address")
}

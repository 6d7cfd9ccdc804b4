package web_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

// fakeLevels know three levels.
type fakeLevels struct {
	standard   string
	components map[string]string
}

func (f *fakeLevels) All() (string, map[string]string) { return f.standard, f.components }

func (f *fakeLevels) SetDefault(level string) error {
	if level != "info" && level != "warn" {
		return errors.New("no such level: " + level)
	}
	f.standard = level
	return nil
}

func (f *fakeLevels) SetComponent(component, level string) error {
	if level == "" {
		maps.DeleteFunc(f.components, func(name, _ string) bool { return name == component })
		return nil
	}
	if level != "debug" {
		return errors.New("no such level: " + level)
	}
	f.components[component] = level
	return nil
}

func TestLogLevelsCanBeChangedWhileTheAgentRuns(t *testing.T) {
	h := web.New(web.Options{LogLevels: &fakeLevels{"info", map[string]string{}}})
	ask := func(method, body string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/agent/api/v1/log-levels", strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	code, body := ask(http.MethodPut, `{"components": {"instance": "debug"}}`)
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"success","data":{"default":"info","components":{"instance":"debug"}}}`, body)
	code, _ = ask(http.MethodPut, `{"default": "warn", "components": {"instance": ""}}`)
	require.Equal(t, http.StatusOK, code)
	_, body = ask(http.MethodGet, "")
	require.JSONEq(t, `{"status":"success","data":{"default":"warn","components":{}}}`, body)

	for _, wrong := range []string{`{"default": "loud"}`, `{"component": "x"}`, `debug`, `{"components": {"x": "y"}}`} {
		code, body = ask(http.MethodPut, wrong)
		require.Equal(t, http.StatusBadRequest, code, wrong)
		require.Contains(t, body, `"error"`)
	}
}

func TestWithoutLevelsThereIsNoSuchEndpoint(t *testing.T) {
	w := httptest.NewRecorder()
	web.New(web.Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/agent/api/v1/log-levels", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestLogfmtLineCarriesEveryField(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "info", FormatLogfmt)
	require.NoError(t, err)

	logger.Named("web").With(zap.String("instance", "a b")).Warn("config refused",
		zap.Error(errors.New(`line 3: "x"`)), zap.Int("revision", 7), zap.Duration("duration", 1500*time.Millisecond),
		zap.Bool("local", true), zap.Strings("names", []string{"a", "b"}))

	line := out.String()
	require.Regexp(t, `^ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=warn msg="config refused"`, line)
	require.Contains(t, line, `instance="a b"`)
	require.Contains(t, line, `component=web`)
	require.Contains(t, line, `err="line 3: \"x\""`)
	require.Contains(t, line, `revision=7`)
	require.Contains(t, line, `duration=1.5s`)
	require.Contains(t, line, `local=true`)
	require.Contains(t, line, `names="[a b]"`)
}

func TestJSONLineIsOneObject(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "debug", FormatJSON)
	require.NoError(t, err)
	logger.Debug("hello", zap.String("k", "v"))

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "hello", line["msg"])
	require.Equal(t, "debug", line["level"])
	require.Equal(t, "v", line["k"])
}

func TestLevelCanBeChangedWhileInUse(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "error", FormatLogfmt)
	require.NoError(t, err)
	derived := logger.With(zap.String("k", "v"))

	derived.Info("hidden")
	require.NoError(t, logger.SetLevel("info"))
	derived.Info("shown")

	require.NotContains(t, out.String(), "hidden")
	require.Contains(t, out.String(), "shown")
}

func TestWrongLevelAndFormatAreRefused(t *testing.T) {
	_, err := New(&bytes.Buffer{}, "loud", FormatLogfmt)
	require.ErrorContains(t, err, "loud")
	_, err = New(&bytes.Buffer{}, "info", "xml")
	require.ErrorContains(t, err, "xml")
}

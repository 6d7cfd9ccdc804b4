package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
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

type named struct{ URL string }

func (n named) String() string { return n.URL }

func TestNoSecretIsLogged(t *testing.T) {
	const secret = "http://u:cAnArY@h/?k=cAnArY"
	for _, format := range []string{FormatLogfmt, FormatJSON} {
		var out strings.Builder
		logger, err := New(&out, "debug", format)
		require.NoError(t, err)
		with := logger.With(zap.String("a", secret), zap.Error(errors.New(secret)))
		with.Debug(secret, zap.String("b", secret), zap.Stringer("c", named{secret}), zap.Any("d", named{secret}), zap.Strings("e", []string{secret}),
			zap.ByteString("f", []byte(secret)), zap.Any("g", map[string]string{"x": secret}), zap.Errors("h", []error{errors.New(secret)}), zap.Any("i", &named{secret}))
		slog.New(zapslog.NewHandler(logger.Core())).With("j", secret).Error(secret, "k", secret, "l", errors.New(secret), "m", []string{secret}, slog.Group("n", "o", secret), "p", named{secret})
		require.NotContains(t, out.String(), "cAnArY", format)
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
		require.Contains(t, out.String(), "http://xxxxx@h/?k=xxxxx")
	}
}

func TestAComponentHasALevelOfItsOwn(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "warn", FormatLogfmt)
	require.NoError(t, err)
	scraping := logger.Named("instance").With(zap.String("instance", "a"))
	scraping.Debug("before")
	require.NoError(t, logger.Levels.SetComponent("instance", "debug"))
	require.NoError(t, logger.Levels.SetComponent("store", "error"))
	scraping.Debug("shown")
	scraping.Named("part").Debug("of a part too")
	logger.Named("web").Info("another component")
	logger.Named("store").Warn("too low")
	standard, components := logger.Levels.All()
	require.Equal(t, "warn", standard)
	require.Equal(t, map[string]string{"instance": "debug", "store": "error"}, components)

	require.NoError(t, logger.Levels.SetComponent("instance", ""))
	scraping.Debug("after")
	require.Error(t, logger.Levels.SetComponent("instance", "loud"))
	require.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
	require.Contains(t, out.String(), "msg=shown")
	require.Contains(t, out.String(), `msg="of a part too"`)
}

// lines is what a logger has written. The line that counts repetitions comes from a timer of its own.
type lines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func (l *lines) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Reset()
}

func TestWarningsThatRepeatAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		logger, err := New(&out, "info", FormatLogfmt)
		require.NoError(t, err)
		for i := range 400 {
			logger.With(zap.Int("endpoint", i)).Warn("receiver refuses samples")
			logger.Info("instance changed phase")
		}
		logger.Warn("something else")
		require.Equal(t, repeatsShown, strings.Count(out.String(), "receiver refuses samples"))
		require.Equal(t, 400, strings.Count(out.String(), "instance changed phase"), "a change is always told")
		require.Contains(t, out.String(), "something else")
		out.Reset()

		<-time.After(repeatsWindow)
		synctest.Wait()
		require.Contains(t, out.String(), `level=warn msg="similar lines were left out" message="receiver refuses samples" count=380`)
		require.Equal(t, 1, strings.Count(out.String(), "\n"), "nothing was left out of the other message")
		logger.Warn("receiver refuses samples")
		require.Equal(t, 2, strings.Count(out.String(), "\n"), "a new window begins")
		<-time.After(repeatsWindow)
	})
}

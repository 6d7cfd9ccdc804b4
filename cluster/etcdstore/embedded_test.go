package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestKeysRevisionsAndSessionsSurviveARestart(t *testing.T) {
	conf := EmbeddedConfig{Dir: filepath.Join(t.TempDir(), "made", "by", "the store"), noSync: true}
	s, err := StartEmbedded(t.Context(), conf)
	require.NoError(t, err)
	put(t, s, "k")
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "bound", Session: sess})
	require.NoError(t, err)
	before, err := s.List(t.Context(), "")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	info, err := os.Stat(conf.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "configs hold secrets")

	s = startEmbedded(t, conf)
	after, err := s.List(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, s.EndSession(t.Context(), sess.ID()))
	_, err = s.Get(t.Context(), "bound")
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

func TestADirectoryHasOneAgentAtATime(t *testing.T) {
	dir := t.TempDir()
	first := startEmbedded(t, EmbeddedConfig{Dir: dir})
	_, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir})
	require.ErrorContains(t, err, "another agent uses this directory")
	put(t, first, "k")
	require.NoError(t, first.Close())
	startEmbedded(t, EmbeddedConfig{Dir: dir})
}

func TestTwoEmbeddedServersDoNotMeet(t *testing.T) {
	a, b := startEmbedded(t, EmbeddedConfig{Dir: t.TempDir()}), startEmbedded(t, EmbeddedConfig{Dir: t.TempDir()})
	put(t, a, "k")
	_, err := b.Get(t.Context(), "k")
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	busy := listen(t, nil)
	used := stopped(t)
	for _, test := range []struct {
		name string
		conf EmbeddedConfig
		want string
	}{
		{"no directory", EmbeddedConfig{}, "no directory is given"},
		{"a file in its place", EmbeddedConfig{Dir: file}, "not a directory"},
		{"a directory in a file", EmbeddedConfig{Dir: filepath.Join(file, "dir")}, "not a directory"},
		{"a port in use", EmbeddedConfig{Dir: t.TempDir(), listen: busy}, "address already in use"},
		{"a full disk", EmbeddedConfig{Dir: t.TempDir(), freeBytes: free(10 << 20)}, "the disk is full: 10 MiB are free"},
		{"a disk that can't be asked", EmbeddedConfig{Dir: t.TempDir(), freeBytes: func(string) (uint64, error) {
			return 0, errors.New("input/output error")
		}}, "input/output error"},
		{"a damaged database", EmbeddedConfig{Dir: overwrite(t, used, "member/snap/db")}, "is damaged or in use"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := StartEmbedded(t.Context(), test.conf)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, "start embedded etcd in "+test.conf.Dir)
		})
	}
}

// etcd leaves goroutines and open files behind when it gives up at start, so this runs in a process
// of its own: the test binary, called again.
func TestADamagedLogIsAnErrorNotTheEndOfTheProcess(t *testing.T) {
	const variable = "RINGMASTER_TEST_DAMAGED_DIR"
	if dir := os.Getenv(variable); dir != "" { //nolint:forbidigo // this is the other process
		_, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir, noSync: true})
		fmt.Println("returned:", err)
		os.Exit(0) //nolint:forbidigo // before what is left behind is found
	}
	for name, damage := range map[string]func(t *testing.T, file string){
		"overwritten": func(t *testing.T, file string) { overwriteFile(t, file) },
		"one byte":    func(t *testing.T, file string) { flip(t, file, needle) },
		"cut":         func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 10)) },
		"empty":       func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := stopped(t)
			files, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
			require.NoError(t, err)
			for _, file := range files {
				damage(t, file)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$")
			cmd.Env = append(cmd.Environ(), variable+"="+dir)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "returned: start embedded etcd in "+dir)
			require.Contains(t, string(out), "move it away to start empty")
		})
	}
}

func TestAStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := StartEmbedded(ctx, EmbeddedConfig{Dir: dir, noSync: true})
	require.ErrorIs(t, err, context.Canceled)
	startEmbedded(t, EmbeddedConfig{Dir: dir})
}

func TestAFullDiskRefusesWritesUntilThereIsRoom(t *testing.T) {
	room := uint64(1 << 30)
	s := startEmbedded(t, EmbeddedConfig{Dir: t.TempDir(), freeBytes: func(string) (uint64, error) { return room, nil }})
	put(t, s, "k")
	room = 1 << 20
	_, err := s.Put(t.Context(), cluster.PutRequest{Key: "l"})
	require.ErrorContains(t, err, "the disk is full")
	_, err = s.OpenSession(t.Context(), time.Minute)
	require.ErrorContains(t, err, "the disk is full")
	_, err = s.Get(t.Context(), "k")
	require.NoError(t, err, "reading goes on")
	_, err = s.Delete(t.Context(), "k", cluster.Condition{})
	require.NoError(t, err, "deleting is a way out")
	room = 1 << 30
	put(t, s, "l")
}

func TestAServerThatGivesUpTakesOnlyTheStoreWithIt(t *testing.T) {
	logger, lines := observe()
	s := startEmbedded(t, EmbeddedConfig{Dir: t.TempDir(), Logger: logger})
	put(t, s, "k")
	events := s.Watch(t.Context(), "", 1)
	require.Equal(t, "k", next(t, events).Entry.Key)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)

	giveUp := s.server.log.logger(zap.NewNop())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		giveUp.Fatal("failed to save", zap.Error(errors.New("no space left on device")))
	}()
	<-ended

	line := await(t, lines, "store has stopped, restart the agent to have it back")
	require.Equal(t, zapcore.ErrorLevel, line.Level)
	require.Contains(t, line.ContextMap()["err"], "no space left on device")
	_, err = s.Get(t.Context(), "k")
	require.ErrorContains(t, err, "no space left on device")
	select {
	case <-sess.Done():
		t.Fatal("nobody said that the session has ended")
	case ev, open := <-events:
		t.Fatalf("the watch should wait, not tell %v (open: %t)", ev, open)
	default:
	}
}

func TestARunningServerSaysNothing(t *testing.T) {
	logger, lines := observe()
	s := startEmbedded(t, EmbeddedConfig{Dir: t.TempDir(), Logger: logger})
	put(t, s, "k")
	require.NoError(t, s.Close())
	for _, line := range lines.All() {
		t.Errorf("%s: %s %v", line.Level, line.Message, line.ContextMap())
	}
}

// needle is a key that can be found in a server's files.
const needle = "a key like no other"

// stopped returns the directory of a server that ran.
func stopped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := startEmbedded(t, EmbeddedConfig{Dir: dir})
	put(t, s, needle)
	require.NoError(t, s.Close())
	return dir
}

// overwrite spoils the files that match pattern, and returns dir.
func overwrite(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		overwriteFile(t, file)
	}
	return dir
}

func overwriteFile(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("garbage ", 2048)), 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// flip changes one bit of the first occurrence of text.
func flip(t *testing.T, file, text string) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	i := bytes.Index(content, []byte(text))
	require.Positive(t, i)
	content[i] ^= 1
	require.NoError(t, os.WriteFile(file, content, 0o600))
}

func free(bytes uint64) func(string) (uint64, error) {
	return func(string) (uint64, error) { return bytes, nil }
}

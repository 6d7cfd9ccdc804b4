package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEqualProgramsGiveEqualImagesThatUnpackToThem(t *testing.T) {
	work := t.TempDir()
	certificates := filepath.Join(work, "certificates")
	write(t, certificates, "none")
	for _, arch := range []string{"amd64", "arm64"} {
		for _, name := range []string{"agent", "agentctl"} {
			write(t, filepath.Join(work, "linux_"+arch, name), name+" of "+arch)
		}
	}
	var digests []string
	repository := root(t)
	for _, out := range []string{filepath.Join(work, "one"), filepath.Join(work, "two")} {
		if err := image([]string{"-root", repository, "-dist", work, "-certificates", certificates, "-out", out, "-version", "1.2.3"}); err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(filepath.Join(out, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, string(index))
	}
	if digests[0] != digests[1] {
		t.Errorf("two images of the same programs differ:\n%s\n%s", digests[0], digests[1])
	}
	to := filepath.Join(work, "unpacked")
	if os.Getuid() != 0 {
		t.Skip("only root can give files to the image's user")
	}
	if err := unpack([]string{"-layout", filepath.Join(work, "one"), "-arch", "arm64", "-to", to}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"usr/bin/agent": "agent of arm64", "etc/ssl/certs/ca-certificates.crt": "none"} {
		got, err := os.ReadFile(filepath.Join(to, file))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "etc/ringmaster/agent.yaml")); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// root is that of the repository. Commands change into it, and tests have to come back.
func root(t *testing.T) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	return filepath.Join(here, "..", "..")
}

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// This program is itself a binary that was linked from many modules.
func TestABillOfMaterialsNamesTheBinaryAndEachModuleOnce(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bill.json")
	if err := sbom([]string{"-binary", binary, "-version", "1.2.3", "-out", out}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.SpecVersion != "1.5" || b.Version != 1 {
		t.Errorf("it begins with %q %q %d", b.Format, b.SpecVersion, b.Version)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if want := []hash{{"SHA-256", hex.EncodeToString(sum[:])}}; fmt.Sprint(b.Metadata.Component.Hashes) != fmt.Sprint(want) {
		t.Errorf("the hash of the binary is %v, not %v", b.Metadata.Component.Hashes, want)
	}
	// As github.com/package-url/purl-spec wants it: a + is escaped.
	purl := regexp.MustCompile(`^pkg:golang/[a-zA-Z0-9./_~-]+@v?[a-zA-Z0-9.%-]+$`)
	seen := map[string]bool{}
	for _, c := range append(b.Components, b.Metadata.Component) {
		if c.Type == "" || c.Name == "" || c.Version == "" || !purl.MatchString(c.PURL) || seen[c.Ref] || c.Ref == "" {
			t.Errorf("%+v", c)
		}
		seen[c.Ref] = true
	}
	for _, module := range []string{"helm.sh/helm/v3@v", "github.com/goreleaser/nfpm/v2@v", "std@1."} {
		if !strings.Contains(string(text), "pkg:golang/"+module) {
			t.Errorf("%s is missing", module)
		}
	}
}

func TestAPlusInAVersionIsEscaped(t *testing.T) {
	if got := moduleOf("library", "a.b/c", "v2.0.0+incompatible").PURL; got != "pkg:golang/a.b/c@v2.0.0%2Bincompatible" {
		t.Error(got)
	}
}

// Packages, chart and sums of the same files are the same at another time and in another directory.
func TestEqualProgramsGiveEqualPackagesChartsAndSums(t *testing.T) {
	repository := root(t)
	var all []string
	for range 2 {
		work := t.TempDir()
		for _, name := range []string{"agent", "agentctl"} {
			write(t, filepath.Join(work, "bin", name), name)
			// Who checked the sources out, and when, is not in what is made of them.
			changed := time.Now().Add(time.Duration(len(all)) * time.Hour)
			if err := os.Chtimes(filepath.Join(work, "bin", name), changed, changed); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(work, "out")
		if err := packages([]string{"-root", repository, "-bin", filepath.Join(work, "bin"), "-version", "1.2.3", "-out", out}); err != nil {
			t.Fatal(err)
		}
		if err := packChart([]string{"-chart", filepath.Join(repository, "deploy/helm/ringmaster"), "-version", "1.2.3", "-out", out}); err != nil {
			t.Fatal(err)
		}
		for _, at := range timesIn(t, filepath.Join(out, "ringmaster-1.2.3.tgz")) {
			if !at.Equal(built()) {
				t.Errorf("a file of the chart has the time %v", at)
			}
		}
		if err := sums([]string{"-dir", out}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
		if check, err := exec.LookPath("sha256sum"); err == nil {
			command := exec.Command(check, "--check", "--strict", "--quiet", "SHA256SUMS")
			command.Dir = out
			if said, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		}
	}
	if all[0] != all[1] {
		t.Errorf("the same programs give\n%s\nand then\n%s", all[0], all[1])
	}
	if lines := strings.Count(all[0], "\n"); lines != 5 {
		t.Errorf("%d files, not two debs, two rpms and a chart:\n%s", lines, all[0])
	}
}

// timesIn are those of the files in a gzipped tar archive.
func timesIn(t *testing.T, path string) (times []time.Time) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(unzipped)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, h.ModTime)
	}
	if len(times) < 5 {
		t.Errorf("%s has only %d files", path, len(times))
	}
	return times
}

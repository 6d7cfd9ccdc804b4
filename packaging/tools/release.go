package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// component is one module, or the binary itself, in a bill of materials.
type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Hashes  []hash `json:"hashes,omitempty"`
	PURL    string `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// bill is a CycloneDX bill of materials, with the fields that a Go binary knows of itself. It has no
// serial number and no time, so that equal binaries have equal bills.
type bill struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

// sbom writes what a binary was linked from, as the binary says.
func sbom(args []string) error {
	var binary, version, out string
	if err := flagsOf("sbom", args, func(f *flag.FlagSet) {
		f.StringVar(&binary, "binary", "dist/linux_amd64/agent", "the binary")
		f.StringVar(&version, "version", "0.0.0", "semantic version")
		f.StringVar(&out, "out", "", "file to write")
	}); err != nil {
		return err
	}
	b, err := billOf(binary, version)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func billOf(binary, version string) (bill, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return bill{}, err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return bill{}, err
	}
	b := bill{Format: "CycloneDX", SpecVersion: "1.5", Version: 1}
	b.Metadata.Component = moduleOf("application", info.Main.Path, "v"+version)
	b.Metadata.Component.Ref += "#" + filepath.Base(binary)
	b.Metadata.Component.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
	b.Components = append(b.Components, moduleOf("library", "std", strings.TrimPrefix(info.GoVersion, "go")))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, moduleOf("library", m.Path, m.Version))
	}
	return b, nil
}

// moduleOf is a module by its package URL, in which the + of a version is escaped.
func moduleOf(kind, path, version string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Type: kind, Ref: purl, Name: path, Version: version, PURL: purl}
}

// packChart writes the chart as an archive.
func packChart(args []string) error {
	var dir, version, out string
	if err := flagsOf("chart", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "chart", "deploy/helm/ringmaster", "directory of the chart")
		f.StringVar(&version, "version", "0.0.0", "semantic version")
		f.StringVar(&out, "out", "dist", "directory for the archive")
	}); err != nil {
		return err
	}
	c, err := loader.Load(dir)
	if err != nil {
		return err
	}
	c.Metadata.Version, c.Metadata.AppVersion = version, version
	work, err := os.MkdirTemp("", "chart-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	saved, err := chartutil.Save(c, work)
	if err != nil {
		return err
	}
	path := filepath.Join(out, filepath.Base(saved))
	if err := withoutTimes(saved, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fmt.Println(path)
	return nil
}

// withoutTimes copies a gzipped tar archive. Helm gives each file the time of the archive's making;
// here they have the time of everything else.
func withoutTimes(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	zipped.Extra, zipped.Comment = unzipped.Extra, unzipped.Comment
	r, w := tar.NewReader(unzipped), tar.NewWriter(zipped)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		h.ModTime = built()
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), zipped.Close(), os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}

// sums writes SHA256SUMS of every file below a directory.
func sums(args []string) error {
	var dir string
	if err := flagsOf("sums", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "dir", "dist", "the directory")
	}); err != nil {
		return err
	}
	const name = "SHA256SUMS"
	var lines []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == name {
			return err
		}
		sum, err := sumOf(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		lines = append(lines, fmt.Sprintf("%x  %s\n", sum, filepath.ToSlash(relative)))
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "")), 0o644)
}

func sumOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the packagers
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// packages makes the deb and rpm packages of one architecture from binaries in -bin.
func packages(args []string) error {
	var bin, version, arch, out, root string
	if err := flagsOf("packages", args, func(f *flag.FlagSet) {
		f.StringVar(&bin, "bin", "dist/linux_amd64", "directory with agent and agentctl")
		f.StringVar(&version, "version", "0.0.0", "semantic version")
		f.StringVar(&arch, "arch", "amd64", "architecture by Go's name")
		f.StringVar(&out, "out", "dist", "directory for the packages")
		f.StringVar(&root, "root", ".", "root of the repository")
	}); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	for from, to := range map[string]string{
		"packaging/man/agentctl.1": "agentctl.1.gz", "packaging/man/ringmaster-agent.8": "ringmaster-agent.8.gz", "CHANGELOG.md": "changelog.gz",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := compress(text, filepath.Join(bin, to)); err != nil {
			return err
		}
	}
	for _, name := range []string{"ringmaster-agent", "ringmaster-agentctl"} {
		if err := compress(debianChangelog(name, version), filepath.Join(bin, name+".changelog.Debian.gz")); err != nil {
			return err
		}
	}
	values := map[string]string{"BIN": bin, "VERSION": version, "ARCH": arch}
	for _, file := range []string{"packaging/nfpm-agent.yaml", "packaging/nfpm-agentctl.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, format := range []string{"deb", "rpm"} {
			if err := pack(text, format, out, values); err != nil {
				return fmt.Errorf("%s as %s: %w", file, format, err)
			}
		}
	}
	return nil
}

func pack(text []byte, format, out string, values map[string]string) error {
	config, err := nfpm.ParseWithEnvMapping(bytes.NewReader(text), func(name string) string { return values[name] })
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info = nfpm.WithDefaults(info)
	info.MTime = built()
	for _, content := range info.Contents {
		if content.FileInfo != nil {
			content.FileInfo.MTime = built()
		}
	}
	if err := nfpm.Validate(info); err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	path := filepath.Join(out, packager.ConventionalFileName(info))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := packager.Package(info, f); err != nil {
		_ = f.Close()
		return err
	}
	fmt.Println(path)
	return f.Close()
}

// debianChangelog is what Debian wants to know of the packaging, which has no history of its own.
func debianChangelog(name, version string) []byte {
	return fmt.Appendf(nil, "%s (%s-1) unstable; urgency=medium\n\n  * Release %s: see changelog.gz.\n\n -- Ringmaster maintainers <maintainers@ringmaster-agent.example>  %s\n",
		name, version, version, built().Format(time.RFC1123Z))
}

// compress writes gzip without a name or a time, as Debian wants it.
func compress(text []byte, to string) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}

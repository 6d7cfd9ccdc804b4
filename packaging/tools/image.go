package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nonroot is the user in the image, as in distroless images.
const nonroot = 65532

// image makes an OCI layout with one image for each architecture: what packaging/Containerfile
// describes.
func image(args []string) error {
	var dist, version, commit, out, root, architectures, certificates string
	if err := flagsOf("image", args, func(f *flag.FlagSet) {
		f.StringVar(&dist, "dist", "dist", "directory with linux_ARCH/agent and linux_ARCH/agentctl")
		f.StringVar(&architectures, "arch", "amd64,arm64", "architectures by Go's names")
		f.StringVar(&version, "version", "0.0.0", "semantic version")
		f.StringVar(&commit, "commit", "unknown", "commit")
		f.StringVar(&certificates, "certificates", "/etc/ssl/certs/ca-certificates.crt", "certificates of the authorities to trust")
		f.StringVar(&out, "out", "dist/image", "directory for the layout")
		f.StringVar(&root, "root", ".", "root of the repository")
	}); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	base, err := baseLayer(certificates)
	if err != nil {
		return err
	}
	index := v1.ImageIndex(empty.Index)
	for arch := range strings.SplitSeq(architectures, ",") {
		img, err := imageOf(base, filepath.Join(dist, "linux_"+arch), arch, version, commit)
		if err != nil {
			return fmt.Errorf("image of %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	_, err = layout.Write(out, index)
	return err
}

// baseLayer is what a static program needs of a system.
func baseLayer(certificates string) (v1.Layer, error) {
	trusted, err := os.ReadFile(certificates)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	config, err := os.ReadFile("packaging/etc/agent.yaml")
	if err != nil {
		return nil, err
	}
	var a archive
	for _, dir := range []string{"etc", "etc/ssl", "etc/ssl/certs", "etc/ringmaster", "usr", "usr/bin", "var", "var/lib"} {
		a.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
	}
	a.add(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil)
	a.add(&tar.Header{Typeflag: tar.TypeDir, Name: "var/lib/ringmaster/", Mode: 0o700, Uid: nonroot, Gid: nonroot}, nil)
	a.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/var/lib/ringmaster:/sbin/nologin\n"))
	a.file("etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n"))
	a.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
	a.file("etc/ssl/certs/ca-certificates.crt", 0o644, trusted)
	a.file("etc/ringmaster/agent.yaml", 0o644, config)
	return a.layer()
}

func imageOf(base v1.Layer, bin, arch, version, commit string) (v1.Image, error) {
	var a archive
	for _, name := range []string{"agent", "agentctl"} {
		program, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return nil, err
		}
		a.file("usr/bin/"+name, 0o755, program)
	}
	programs, err := a.layer()
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, base, programs)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: built()}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", nonroot, nonroot), WorkingDir: "/var/lib/ringmaster",
		Env:          []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Entrypoint:   []string{"/usr/bin/agent"},
		Cmd:          []string{"-config.file=/etc/ringmaster/agent.yaml", "-server.http.address=0.0.0.0:12345"},
		ExposedPorts: map[string]struct{}{"12345/tcp": {}},
		Volumes:      map[string]struct{}{"/var/lib/ringmaster": {}},
		Healthcheck:  &v1.HealthConfig{Test: []string{"CMD", "/usr/bin/agent", "-health"}, Interval: 10e9, Timeout: 6e9, StartPeriod: 30e9},
		Labels: map[string]string{
			"org.opencontainers.image.title": "ringmaster", "org.opencontainers.image.version": version, "org.opencontainers.image.revision": commit,
			"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://github.com/ringmaster-agent/ringmaster",
		},
	}
	return mutate.ConfigFile(img, file)
}

// archive is a layer while it is being made. Everything in it has the same time.
type archive struct {
	b   bytes.Buffer
	w   *tar.Writer
	err error
}

func (a *archive) file(name string, mode int64, content []byte) {
	a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (a *archive) add(h *tar.Header, content []byte) {
	if a.w == nil {
		a.w = tar.NewWriter(&a.b)
	}
	h.ModTime, h.Format = built(), tar.FormatPAX
	_, err := 0, a.w.WriteHeader(h)
	if err == nil {
		_, err = a.w.Write(content)
	}
	a.err = errors.Join(a.err, err)
}

func (a *archive) layer() (v1.Layer, error) {
	if err := errors.Join(a.err, a.w.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.b.Bytes())), nil })
}

// unpack writes the files of the image of one architecture below a directory.
func unpack(args []string) error {
	var from, arch, to string
	if err := flagsOf("unpack", args, func(f *flag.FlagSet) {
		f.StringVar(&from, "layout", "dist/image", "directory with the layout")
		f.StringVar(&arch, "arch", "amd64", "architecture")
		f.StringVar(&to, "to", "", "directory for the files")
	}); err != nil {
		return err
	}
	index, err := layout.ImageIndexFromPath(from)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, m := range manifest.Manifests {
		if m.Platform == nil || m.Platform.Architecture != arch {
			continue
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		files := mutate.Extract(img)
		defer func() { _ = files.Close() }()
		return extract(tar.NewReader(files), to)
	}
	return fmt.Errorf("%s has no image of %s", from, arch)
}

func extract(r *tar.Reader, to string) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(to, path.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else {
			err = writeFile(name, r)
		}
		if err == nil {
			err = errors.Join(os.Chmod(name, h.FileInfo().Mode()), os.Lchown(name, h.Uid, h.Gid))
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Package images is a module of its own for ko, which brings the clients of
// several clouds' registries. Its test builds images as make images does, but
// on an empty base that it serves itself, so that it needs no network.
package images

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// user is the one that deploy/k8s runs pods as.
const user = "65532:65532"

// base serves an empty image for both platforms and returns its name.
func base(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	idx := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{User: user}})
		must(t, err)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/base:latest")
	must(t, err)
	must(t, remote.WriteIndex(ref, idx))
	return ref.String()
}

// ko builds an image of every binary for both platforms, each with one static
// file that starts, under a user that is not root.
func TestImages(t *testing.T) {
	mains, err := filepath.Glob("../../cmd/*")
	must(t, err)
	out := t.TempDir()
	cmd := exec.Command("make", "-C", "../..", "images", "IMAGES="+out)
	cmd.Env = append(os.Environ(), "KO_DEFAULTBASEIMAGE="+base(t), "KO_DOCKER_REPO=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	images := built(t, out)
	if len(images) != 2*len(mains) {
		t.Errorf("%d images of %v for two platforms", len(images), mains)
	}
	for _, img := range images {
		c, err := img.ConfigFile()
		must(t, err)
		if c.Config.User != user || len(c.Config.Entrypoint) != 1 || c.Config.Cmd != nil {
			t.Errorf("%s runs %v %v as %q", c.Architecture, c.Config.Entrypoint, c.Config.Cmd, c.Config.User)
		}
		starts(t, binary(t, img, c.Config.Entrypoint[0]), c.Architecture)
	}
}

// built returns the images of a layout, out of the index of each binary.
func built(t *testing.T, dir string) (out []v1.Image) {
	t.Helper()
	p, err := layout.FromPath(dir)
	must(t, err)
	idx, err := p.ImageIndex()
	must(t, err)
	m, err := idx.IndexManifest()
	must(t, err)
	for _, d := range m.Manifests {
		inner, err := idx.ImageIndex(d.Digest)
		must(t, err)
		im, err := inner.IndexManifest()
		must(t, err)
		for _, e := range im.Manifests {
			img, err := inner.Image(e.Digest)
			must(t, err)
			out = append(out, img)
		}
	}
	return out
}

// binary takes a file out of an image.
func binary(t *testing.T, img v1.Image, path string) string {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("the image has no %s", path)
		}
		must(t, err)
		if "/"+strings.TrimPrefix(h.Name, "/") != path {
			continue
		}
		f, err := os.OpenFile(filepath.Join(t.TempDir(), filepath.Base(path)), os.O_CREATE|os.O_WRONLY, 0o755)
		must(t, err)
		_, err = io.Copy(f, tr)
		must(t, errors.Join(err, f.Close()))
		return f.Name()
	}
}

// starts wants a file that needs no other, for the right machine; that of this
// machine must start.
func starts(t *testing.T, path, arch string) {
	t.Helper()
	f, err := elf.Open(path)
	must(t, err)
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
		t.Errorf("%s is for %v, want %v", path, f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s is not static", path)
		}
	}
	if arch != runtime.GOARCH {
		return
	}
	if text, err := exec.Command(path, "--help").CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", path, err, text)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

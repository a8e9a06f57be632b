package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// disk is a file system that can be filled.
type disk struct {
	t       *testing.T
	ballast string
}

// smallDisk mounts a file system of so many MB at a directory that is not
// there yet. Where that is not permitted it returns false.
func smallDisk(t *testing.T, dir, mb string) (*disk, bool) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+mb+"m,mode=700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Logf("no disk of its own for %s: %s", filepath.Base(dir), out)
		return nil, false
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return &disk{t, filepath.Join(dir, "ballast")}, true
}

// fill leaves no byte free.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.ballast)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// free takes the ballast away.
func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		d.t.Fatal(err)
	}
}

package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Processes that make a secret at once end up with one and the same.
func TestSecretIsMadeOnce(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "installation.key")
		var wg sync.WaitGroup
		got := make([][]byte, 8)
		for i := range got {
			wg.Go(func() {
				b, err := secretFile(path)
				if err != nil {
					t.Error(err)
				}
				got[i] = b
			})
		}
		wg.Wait()
		again, err := secretFile(path)
		if err != nil || len(again) != 32 {
			t.Fatalf("%d bytes, %v", len(again), err)
		}
		for _, b := range got {
			if !bytes.Equal(b, again) {
				t.Fatal("two processes work with different secrets")
			}
		}
		files, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		if i, err := files[0].Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", i.Mode(), err)
		}
	}
}

func TestSpoiltSecretIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "installation.key")
	if err := os.WriteFile(path, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secretFile(path); err == nil || !strings.Contains(err.Error(), "restore the file from a backup") {
		t.Error(err)
	}
}

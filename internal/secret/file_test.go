package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExposed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("value"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o440: true, 0o640: true, 0o650: true,
		0o660: false, 0o620: false, 0o644: false, 0o604: false, 0o602: false, 0o601: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		b, err := ReadFile(path)
		if (err == nil) != fine || (string(b) == "value") != fine {
			t.Errorf("mode %04o: %q, %v", mode, b, err)
		}
		if !fine && !strings.HasSuffix(err.Error(), "run: chmod 600 "+path) {
			t.Error(err)
		}
	}
	if _, err := ReadFile(path + "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := Exposed(os.DevNull); err != nil {
		t.Errorf("what is no regular file: %v", err)
	}
}

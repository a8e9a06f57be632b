package secret

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// exposed are the modes that a file with a secret must not have: anything for
// others, and writing for its group. The group may read, since that is how a
// cluster hands a secret to a process that is not root.
const exposed fs.FileMode = 0o027

// Exposed says that a file may be read, or replaced, by whoever should not,
// and what to run; nil where all is well. What is no regular file, such as a
// pipe, is for its maker to guard.
func Exposed(path string) error {
	i, err := os.Stat(path)
	if err != nil {
		return err
	}
	return open(path, i)
}

func open(path string, i fs.FileInfo) error {
	if perm := i.Mode().Perm(); i.Mode().IsRegular() && perm&exposed != 0 {
		return fmt.Errorf("%s holds a secret and is open to others (mode %04o); run: chmod 600 %s", path, perm, path)
	}
	return nil
}

// ReadFile reads a file that holds a secret, unless it is Exposed.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err == nil {
		err = open(path, i)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is a data directory held by this process. The lock is the kernel's
// (flock), so that it ends with the process however that ends; the file's
// text, the owner's process id, is for people only.
type dirLock struct{ file *os.File }

// lockDir creates dir where it is missing and locks it. Held by another
// process, or by another start of this one, it is refused with one line.
func lockDir(dir string) (*dirLock, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w; set CARILLON_DATA to one that this user may write", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use%s; stop that process, or set CARILLON_DATA to another directory", dir, owner(f))
		}
		return nil, fmt.Errorf("data directory %s can't be locked: %w; set CARILLON_DATA to one on a local disk", dir, err)
	}
	if err := sign(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return &dirLock{f}, nil
}

// release gives the directory up. The file stays: were it removed, one
// process could lock the old file and another a new one. Closing it alone
// would leave the lock to a child that is just being started, for as long as
// that has a copy of everything open.
func (l *dirLock) release() error {
	err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	return errors.Join(err, l.file.Close())
}

func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// owner names the process that signed the lock file, " by process 12", or
// nothing where it has not signed yet.
func owner(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 20))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}

// Package memory has a process keep within the memory that it was granted. It
// reads what the kernel was told (control groups of version 2, as of systemd's
// MemoryMax and of containers) and has the garbage collector work harder before
// the kernel kills. It never limits anything where somebody set GOMEMLIMIT.
package memory

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Whole is what a process uses of its grant that has it to itself; Shared what
// one does whose child, a Redis that holds what is hot, lives in the same
// control group. The rest is what the collector does not count: stacks of
// threads, pages of mapped files, the kernel's buffers.
const (
	Whole  = 0.9
	Shared = 0.6
)

// Keep has this process keep within a share of what it was granted, and returns
// how much that is, in bytes; 0 where there is no grant, or somebody set
// GOMEMLIMIT. root is the root of the file system.
func Keep(root fs.FS, share float64) int64 {
	if os.Getenv("GOMEMLIMIT") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 { // it may be "off"
		return 0
	}
	granted := Granted(root)
	if granted == 0 {
		return 0
	}
	limit := int64(float64(granted) * share)
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroups is where control groups of version 2 are mounted.
const cgroups = "sys/fs/cgroup"

// Granted returns how many bytes this process may use, 0 where nobody said. It
// is the least of its own control group and those that this one is in: each of
// them bounds all that is in it.
func Granted(root fs.FS) int64 {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // another system than Linux
	}
	least := int64(0)
	for line := range strings.Lines(string(b)) {
		own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !ok {
			continue // of version 1
		}
		for at := path.Join(cgroups, own); ; at = path.Dir(at) {
			if n, err := limitOf(root, at); err == nil && (least == 0 || n < least) {
				least = n
			}
			if at == cgroups || at == "." {
				break
			}
		}
	}
	return least
}

var errNoLimit = errors.New("no limit")

func limitOf(root fs.FS, group string) (int64, error) {
	b, err := fs.ReadFile(root, path.Join(group, "memory.max"))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // or the word max
	if err == nil && n <= 0 {
		err = errNoLimit
	}
	return n, err
}

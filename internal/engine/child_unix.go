//go:build unix && !linux

package engine

import "syscall"

// childAttributes put the child in its own process group, so that the
// terminal's Ctrl-C reaches this process alone and the stop stays in order.
// Only Linux can also tie its life to ours: elsewhere a child outlives a
// parent that is killed, on a socket that the next start removes.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

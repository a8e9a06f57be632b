package engine

import "syscall"

// childAttributes put the child in its own process group, so that the
// terminal's Ctrl-C reaches this process alone and the stop stays in order,
// and have the kernel kill it when this process is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

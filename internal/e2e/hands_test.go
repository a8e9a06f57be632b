//go:build linux && amd64

package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hands set the wall clock of one program, from outside and as it is: Go
// programs, Redis and others read the clock by code that the kernel maps into
// each of them (the vDSO), which stands here as code that asks the kernel and
// adds what is set. The monotonic clock runs on untouched, as it does when
// somebody sets a machine's clock. Children of the program show the true time.
type hands struct {
	t    *testing.T
	mem  *os.File
	slot int64 // where the seconds that are added stand
}

// The functions that read the wall's clock, for amd64. Each calls the kernel
// and adds what is in the slot, whose distance takes the place of "slot".
const (
	// clock_gettime(id, at): mov eax,228; syscall; test edi,edi; jne ret; mov rdx,[slot]; add [rsi],rdx; ret
	codeOfClock = "\xb8\xe4\x00\x00\x00\x0f\x05\x85\xff\x75\x0a\x48\x8b\x15slot\x48\x01\x16\xc3"
	// gettimeofday(at, zone): mov eax,96; syscall; test rdi,rdi; je ret; mov rdx,[slot]; add [rdi],rdx; ret
	codeOfDay = "\xb8\x60\x00\x00\x00\x0f\x05\x48\x85\xff\x74\x0a\x48\x8b\x15slot\x48\x01\x17\xc3"
	// time(at): mov eax,201; syscall; add rax,[slot]; test rdi,rdi; je ret; mov [rdi],rax; ret
	codeOfTime = "\xb8\xc9\x00\x00\x00\x0f\x05\x48\x03\x05slot\x48\x85\xff\x74\x03\x48\x89\x07\xc3"
)

// spawnWound starts a program whose clock is ahead from its first instruction.
func spawnWound(t *testing.T, ahead time.Duration, env []string, path string, args ...string) (*child, *hands) {
	t.Helper()
	runtime.LockOSThread() // who traces is a thread
	defer runtime.UnlockOSThread()
	c := &child{cmd: exec.Command(path, args...), log: &transcript{}, done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := c.cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("%s did not stop at its first instruction: %v, %v", path, status, err)
	}
	h, err := wind(t, pid)
	if err == nil {
		h.set(ahead)
	}
	if down := syscall.PtraceDetach(pid); err != nil || down != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		t.Fatal("the clock of a program can't be set: ", err, down)
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	return c, h
}

// wind replaces the functions of a stopped process that read the wall's clock.
func wind(t *testing.T, pid int) (*hands, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	var from, to int64
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
				return nil, err
			}
		}
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = mem.Close() })
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, from); err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	at, err := entries(image)
	if err != nil {
		return nil, err
	}
	slot := (at["__vdso_clock_gettime"] + int64(len(codeOfClock)) + 7) &^ 7 // inside the function that is replaced, which is far longer
	for name, code := range map[string]string{"__vdso_clock_gettime": codeOfClock, "__vdso_gettimeofday": codeOfDay, "__vdso_time": codeOfTime} {
		b := []byte(code)
		i := bytes.Index(b, []byte("slot"))
		binary.LittleEndian.PutUint32(b[i:], uint32(slot-at[name]-int64(i)-4))
		if _, err := mem.WriteAt(b, from+at[name]); err != nil {
			return nil, fmt.Errorf("write the vDSO: %w", err)
		}
	}
	return &hands{t, mem, from + slot}, nil
}

// entries are where the functions of a vDSO begin.
func entries(image []byte) (map[string]int64, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	all, err := f.DynamicSymbols()
	out := map[string]int64{}
	for _, s := range all {
		out[s.Name] = int64(s.Value)
	}
	return out, err
}

// set puts the clock ahead of the true time, in whole seconds.
func (h *hands) set(ahead time.Duration) {
	h.t.Helper()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(ahead/time.Second))
	if _, err := h.mem.WriteAt(b[:], h.slot); err != nil {
		h.t.Error("set a clock: ", err)
	}
}

// woundEngine runs a server of others with a clock that can be set, as run does.
func woundEngine(t *testing.T, ahead time.Duration, name, addr, path string, args ...string) *hands {
	t.Helper()
	c, h := spawnWound(t, ahead, os.Environ(), path, args...)
	e := &engine{child: c, t: t, name: name, addr: addr, path: path, args: args}
	t.Cleanup(func() { c.end(t, syscall.SIGTERM) })
	e.listens()
	return h
}

// world is an installation in which every clock can be set.
type world struct {
	*layout
	nats, redis *hands
	hand        map[*sideProcess]*hands
	now         func() time.Time // by the platform's clock
}

// newWorld starts engines, schedulers and workers whose clocks are all ahead.
func newWorld(t *testing.T, p *platform, ahead time.Duration, schedulers, workers int) *world {
	t.Helper()
	w := &world{layout: ground(t, p), hand: map[*sideProcess]*hands{}, now: time.Now}
	at := freeAddr(t)
	conf := write(t, w.dir+"/nats.conf", fmt.Sprintf("listen: %q\nserver_name: one\n"+streams, at, w.dir+"/js"))
	w.nats = woundEngine(t, ahead, "nats", at, built.path(t, "nats-server"), "-c", conf)
	w.env = append(w.env, "CARILLON_NATS_URL=nats://"+at)
	at = freeAddr(t)
	w.redis = woundEngine(t, ahead, "redis", at, "redis-server", "--port", portOf(t, at), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", w.dir)
	w.env = append(w.env, "CARILLON_REDIS_URL=redis://"+at)
	for range schedulers {
		s := &sideProcess{t: t, kind: "scheduler", health: freeAddr(t), listen: freeAddr(t)}
		s.args = []string{"--verbose", "--health", s.health, "--listen", s.listen}
		w.schedulers = append(w.schedulers, s)
		w.begin(s, ahead)
	}
	for range workers {
		w.workers = append(w.workers, w.another(ahead))
	}
	w.ready()
	return w
}

// another starts a worker that the layout does not count on.
func (w *world) another(ahead time.Duration) *sideProcess {
	s := &sideProcess{t: w.t, kind: "worker", health: freeAddr(w.t)}
	s.args = []string{"--verbose", "--health", s.health}
	w.begin(s, ahead)
	return s
}

func (w *world) begin(s *sideProcess, ahead time.Duration) {
	w.t.Helper()
	c, h := spawnWound(w.t, ahead, w.environ(s.kind), built.path(w.t, s.kind), s.args...)
	w.tend(s, c)
	w.hand[s] = h
}

// set sets every clock of the world.
func (w *world) set(ahead time.Duration) {
	w.nats.set(ahead)
	w.redis.set(ahead)
	for _, h := range w.hand {
		h.set(ahead)
	}
}

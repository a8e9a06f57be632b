package memory_test

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/carillon-dev/carillon/internal/memory"
)

func files(of map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range of {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestGranted(t *testing.T) {
	const self = "proc/self/cgroup"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups":          {nil, 0},
		"a container":                {map[string]string{self: "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"no limit":                   {map[string]string{self: "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a unit of systemd":          {map[string]string{self: "0::/system.slice/w.service\n", "sys/fs/cgroup/system.slice/w.service/memory.max": "1000\n"}, 1000},
		"less around it":             {map[string]string{self: "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "900\n"}, 900},
		"more around it":             {map[string]string{self: "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "1001\n"}, 1000},
		"beside groups of version 1": {map[string]string{self: "4:memory:/old\n0::/a\n", "sys/fs/cgroup/a/memory.max": "7\n", "sys/fs/cgroup/old/memory.max": "5\n"}, 7},
		"out of sight":               {map[string]string{self: "0::/../../w\n", "sys/fs/cgroup/memory.max": "7\n"}, 0},
		"nothing":                    {map[string]string{self: "0::/\n", "sys/fs/cgroup/memory.max": "0\n"}, 0},
		"no number":                  {map[string]string{self: "0::/\n", "sys/fs/cgroup/memory.max": "much\n"}, 0},
	} {
		if got := memory.Granted(files(c.files)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	debug.SetMemoryLimit(math.MaxInt64)
	granted := files(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "8000000000\n"})
	if got := memory.Keep(files(nil), memory.Whole); got != 0 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Errorf("without a grant: %d", got)
	}
	t.Setenv("GOMEMLIMIT", "off")
	if got := memory.Keep(granted, memory.Whole); got != 0 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Errorf("a limit of %d where somebody wants none", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	if got := memory.Keep(granted, memory.Whole); got != 7_200_000_000 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("kept within %d", got)
	}
	if got := memory.Keep(granted, memory.Shared); got != 0 || debug.SetMemoryLimit(-1) != 7_200_000_000 {
		t.Errorf("somebody's word was changed to %d", debug.SetMemoryLimit(-1))
	}
}

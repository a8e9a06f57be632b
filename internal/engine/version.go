package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a server's version: major, minor, patch. What follows a hyphen
// or plus is ignored, so that a release candidate counts as its release.
type version [3]int

// parseVersion reads "2.15.2", "v2.15.2-RC.1" or "7.0"; missing parts are 0.
func parseVersion(text string) (version, error) {
	var v version
	core, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	core, _, _ = strings.Cut(core, "+")
	parts := strings.Split(core, ".")
	if len(parts) > len(v) {
		return version{}, fmt.Errorf("version %q is not major.minor.patch", text)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return version{}, fmt.Errorf("version %q is not major.minor.patch", text)
		}
		v[i] = int(n)
	}
	return v, nil
}

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// String returns "2.15.2".
func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesForMachinesLoad reads the files of deploy/machines as a process
// does on a machine that was installed by docs/operations.md.
func TestFilesForMachinesLoad(t *testing.T) {
	for name, role := range map[string]Role{"scheduler": Scheduler, "worker": Worker} {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "machines", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		etc := t.TempDir()
		text := strings.ReplaceAll(string(b), "/etc/carillon", etc)
		for file, holds := range map[string]string{
			name + ".yaml": text, name + ".redis": "rediss://" + name + ":password@redis1:6379/0\n", "token": strings.Repeat("0a", 32) + "\n",
		} {
			if err := os.WriteFile(filepath.Join(etc, file), []byte(holds), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Load(role, Given{Getenv: func(string) string { return "" }, File: filepath.Join(etc, name+".yaml")})
		if err != nil {
			t.Errorf("%s.yaml: %v", name, err)
		}
		if c.NATSSync != "always" || c.Health == "" || c.KeyFile == "" || !strings.HasPrefix(string(c.RedisURL), "rediss://") {
			t.Errorf("%s.yaml: %+v", name, c)
		}
	}
}

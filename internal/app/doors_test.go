package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/authority"
	"github.com/carillon-dev/carillon/internal/config"
)

// TestOpenDoorIsRefused: before anything is started, and for every process
// that answers the API.
func TestOpenDoorIsRefused(t *testing.T) {
	cfg := config.Local(filepath.Join(t.TempDir(), "data"))
	cfg.Listen = "0.0.0.0:0"
	_, dev := StartDev(t.Context(), Config{Config: cfg})
	_, scheduler := StartScheduler(t.Context(), Config{Config: cfg})
	for _, err := range []error{dev, scheduler} {
		if err == nil || !strings.Contains(err.Error(), "the API won't listen on 0.0.0.0:0 in plain HTTP") {
			t.Error(err)
		}
	}
	if _, err := os.Stat(cfg.Data); !os.IsNotExist(err) {
		t.Errorf("something was begun: %v", err)
	}
}

// TestDevOverTLS: with a certificate it listens on every address, and its own
// client trusts the certificate though it is for another name.
func TestDevOverTLS(t *testing.T) {
	cfg := config.Local(t.TempDir())
	cfg.Listen = "0.0.0.0:0"
	cfg.TLSCert, cfg.TLSKey = authority.New(t).Issue(t, "api", "*.carillon.test")
	d, err := StartDev(t.Context(), Config{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	}()
	c, err := d.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Policy(t.Context()); err != nil || !strings.HasPrefix(d.API(), "https://") {
		t.Errorf("%s: %v", d.API(), err)
	}
}

// TestNotReadyBeforeItBegan: a process that has not started everything is not
// sent requests, whatever the engines say.
func TestNotReadyBeforeItBegan(t *testing.T) {
	if err := (&core{}).up(t.Context()); err == nil || err.Error() != "starting" {
		t.Error(err)
	}
}

package app

import (
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
)

// A scheduler that was not told where the platform is starts, and says so to
// whoever asks for labels.
func TestPagesOfNowhere(t *testing.T) {
	t.Parallel()
	c := &core{stack: newStack()}
	p, err := c.pages()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Labels(t.Context(), channel.Account{}, "", ""); err == nil || !strings.Contains(err.Error(), "CARILLON_META_URL") {
		t.Errorf("asked for labels: %v", err)
	}
	c.cfg.MetaURL = "graph"
	if _, err := c.pages(); err == nil {
		t.Error("a base that is no URL is taken")
	}
}

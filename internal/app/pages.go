package app

import (
	"context"
	"errors"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/label"
)

// pages returns what Pages are asked for their labels by. A scheduler that was
// not told where the platform is does everything but that.
func (c *core) pages() (label.Reader, error) {
	if c.cfg.MetaURL == "" {
		return nowhere{}, nil
	}
	m, err := meta.New(meta.Options{BaseURL: c.cfg.MetaURL, Timeout: pageTimeout, Log: c.cfg.Log})
	if err != nil {
		return nil, err
	}
	c.onStop("pages", func(context.Context) error { m.Close(); return nil })
	return m, nil
}

// nowhere is a platform that nobody named.
type nowhere struct{}

// Labels says what to do.
func (nowhere) Labels(context.Context, channel.Account, string, string) (channel.Labels, error) {
	return channel.Labels{}, errors.New("labels can't be pulled: set CARILLON_META_URL for the schedulers too")
}

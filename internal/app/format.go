package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/format"
	"github.com/carillon-dev/carillon/internal/role"
)

// formatFile marks the form of a data directory, for who starts on it before
// any server has touched it.
const formatFile = "format.json"

// program names this program to those who read what it wrote.
func program() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "carillon (devel)"
	}
	return "carillon " + info.Main.Version
}

// directory refuses a data directory that is none.
func directory(cfg Config) error {
	if i, err := os.Stat(cfg.Data); cfg.NATSURL == "" && err == nil && !i.IsDir() {
		return fmt.Errorf("data directory %s: it is a file; set CARILLON_DATA to a directory", cfg.Data)
	}
	return nil
}

// checkDir refuses a data directory that this program can't read.
func checkDir(cfg Config) error {
	if err := directory(cfg); err != nil {
		return err
	}
	path := filepath.Join(cfg.Data, formatFile)
	b, err := os.ReadFile(path)
	if cfg.NATSURL != "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	m, err := format.Parse(string(b))
	if err == nil && len(b) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("data directory: %s: %w; restore the directory from a backup, or remove this file if you know that no later version wrote there", path, err)
	}
	if err := m.Check(); err != nil {
		return fmt.Errorf("data directory %s: %w", cfg.Data, err)
	}
	return nil
}

// checkForm refuses data that this program can't read, or that was restored in
// part, and marks what has no mark.
func (c *core) checkForm(ctx context.Context) error {
	if err := c.checkRestored(ctx); err != nil {
		return err
	}
	text, err := c.defs.Noted(ctx, "format")
	if err != nil {
		return err
	}
	m, err := format.Parse(text)
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return fmt.Errorf("this installation's data: %w", err)
	}
	if c.role == role.Worker {
		return nil
	}
	mine := format.New(program(), time.Now())
	if text == "" {
		if _, err := c.defs.Bind(ctx, "format", mine.String()); err != nil {
			return err
		}
		c.cfg.Log.InfoContext(ctx, "data is marked with its form", "form", mine.Format)
	}
	if c.cfg.NATSURL != "" {
		return nil
	}
	return newFile(filepath.Join(c.cfg.Data, formatFile), []byte(mine.String()+"\n"))
}

func (c *core) checkRestored(ctx context.Context) error {
	text, err := c.defs.Noted(ctx, backup.RestoredKey)
	if err != nil {
		return err
	}
	r, err := backup.ParseRestored(text)
	if err == nil {
		err = r.Check()
	}
	if err == nil && r != nil {
		c.cfg.Log.InfoContext(ctx, "this installation was restored from a backup", "of", r.Taken, "at", r.At)
	}
	return err
}

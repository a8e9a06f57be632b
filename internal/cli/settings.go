package cli

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/carillon-dev/carillon/internal/config"
)

// settings gives a command a flag for every setting of a role, and returns
// what reads them all.
func (s *session) settings(cmd *cobra.Command, of config.Role) (load func() (config.Config, error)) {
	f := cmd.Flags()
	var file string
	f.StringVar(&file, "config", "", "`FILE` of settings (default $"+config.FileEnv+")")
	for _, set := range config.Settings() {
		if set.Of&of == 0 {
			continue
		}
		if set.Flag() {
			f.String(set.Name, "", plain(set.Means)+" (default $"+set.Env+")")
		}
		if set.Secret() {
			f.String(set.Name+"-file", "", "`FILE` with it (default $"+set.Env+"_FILE)")
		}
	}
	return func() (config.Config, error) {
		given := config.Given{Flags: map[string]string{}, Getenv: s.getenv, File: file}
		f.Visit(func(fl *pflag.Flag) { given.Flags[fl.Name] = fl.Value.String() })
		c, err := config.Load(of, given)
		if wrong, ok := errors.AsType[config.FlagError](err); ok {
			err = usageError{wrong}
		}
		return c, err
	}
}

var link = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`) //nolint:gochecknoglobals // a constant

// plain takes out links, and the marks that pflag would read as a placeholder.
func plain(means string) string {
	return link.ReplaceAllString(strings.ReplaceAll(means, "`", ""), "docs/$1")
}

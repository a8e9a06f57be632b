package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `Carillon sends scheduled broadcasts over Messenger and Instagram, and proves for
every recipient what happened and why.

A server is needed for most commands: "carillon dev" starts one. It is found by

  CARILLON_API    its address (default where CARILLON_LISTEN says, else
                  ` + defaultAPI + `)
  CARILLON_TOKEN  its token, or CARILLON_TOKEN_FILE the file that holds it
                  (default: the file "token" in CARILLON_DATA)
  CARILLON_CA     a PEM file with the authority of its certificate, where that
                  is not one that the system knows
  CARILLON_DATA   the directory of a local server (default ` + defaultData + `)

Data goes to standard output and the rest to standard error. Every command takes
--json: one JSON document, or one line per record of a list. Colours are used on a
terminal only, and never where NO_COLOR is set.

Exit codes: 0 success; 1 a refusal or failure, with one line that says which;
2 wrong usage; 130 interrupted by Ctrl-C, which stops nothing on the server.`

// newRoot builds the tree of commands.
func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:           "carillon",
		Short:         "Send broadcasts, and prove what became of every message",
		Long:          rootHelp,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolVar(&s.json, "json", false, "write JSON: one document, or one line per record of a list")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(s.commands()...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = helpTopic(root)
		case "completion":
			strictCompletion(c)
		}
	}
	return root
}

// group is a command that only has others below it.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	var names []string
	for _, c := range subs {
		names = append(names, c.Name())
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("%s: name one of %s", use, strings.Join(names, ", "))}
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

// knownCommand refuses what is left of a command line that names no command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return usageError{fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)}
}

func helpTopic(root *cobra.Command) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
			return usageError{fmt.Errorf("there is no command %q", strings.Join(args, " "))}
		}
		return nil
	}
}

// strictCompletion makes the completion command, which cobra wrote, keep our
// exit codes.
func strictCompletion(c *cobra.Command) {
	c.Args = knownCommand
	c.RunE = func(*cobra.Command, []string) error {
		return usageError{errors.New("completion: name one of bash, fish, powershell, zsh")}
	}
	for _, shell := range c.Commands() {
		shell.Args = usageArgs(cobra.NoArgs)
	}
}

// exactly is a command's positional arguments, named in the error.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usageError{fmt.Errorf("%s: want %s, got %d arguments", cmd.CommandPath(), strings.Join(names, " "), len(args))}
	}
}

func newVersionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version of this program", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionOf(debug.ReadBuildInfo())
			if s.json {
				return s.writeJSON(v)
			}
			_, err := fmt.Fprintf(s.out, "carillon %s\n", v)
			return err
		},
	}
}

type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source; ends with "+" where it was changed
	Go       string `json:"go"`
}

// String is the version with its revision and Go's.
func (v version) String() string {
	line := v.Version
	if v.Revision != "" {
		line += " (" + v.Revision + ")"
	}
	return line + ", " + v.Go
}

func versionOf(info *debug.BuildInfo, ok bool) version {
	if !ok {
		return version{Version: "unknown", Go: "unknown"}
	}
	v := version{Version: info.Main.Version, Go: info.GoVersion}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	setting := func(key string) string {
		i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
		if i < 0 {
			return ""
		}
		return info.Settings[i].Value
	}
	if v.Revision = setting("vcs.revision"); setting("vcs.modified") == "true" {
		v.Revision += "+"
	}
	return v
}

package config

import (
	"fmt"
	"strings"
)

// Document writes the page about all settings.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from internal/config; make generate writes it anew. -->

What a process can be told. A flag goes before the environment, the environment before the configuration file, which ` + "`--config FILE`" + ` or
` + "`" + FileEnv + "`" + ` names: YAML, one setting on a line (` + "`nats-url: nats://10.0.0.1:4222`" + `); one that does not exist is an error with its line. All of it is
checked at the start, before anything is opened.

The flag and the name in the file are given in the first column. Where it says *secret*, the value may also stand in a file of its own, which the variable
with ` + "`_FILE`" + `, or the flag or name with ` + "`-file`" + `, names; a value that carries a secret is refused as a flag and in the configuration file, where
others would read it. The last column says who reads it: S ` + "`scheduler`" + `, W ` + "`worker`" + `, D ` + "`carillon dev`" + `, R ` + "`carillon restore`" + `.

| setting | variable | means | absent | read by |
|---|---|---|---|---|
`)
	for _, s := range Settings() {
		name := "`--" + s.Name + "`"
		if !s.Flag() {
			name = "`" + s.Name + "`, no flag"
		}
		if s.Secret() {
			name += ", secret"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", name, s.Env, s.Means, s.Absent, s.Of)
	}
	return b.String()
}

// String names the roles by their letters.
func (r Role) String() string {
	var out []string
	for _, one := range []struct {
		role Role
		name string
	}{{Scheduler, "S"}, {Worker, "W"}, {Dev, "D"}, {Restorer, "R"}} {
		if r&one.role != 0 {
			out = append(out, one.name)
		}
	}
	return strings.Join(out, " ")
}

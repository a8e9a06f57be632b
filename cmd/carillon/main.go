// Command carillon is the operator's tool: it defines, launches, watches and
// audits broadcasts on a server, explains what became of a message, and runs
// all of Carillon in one process with "carillon dev".
package main

import (
	"os"

	"github.com/carillon-dev/carillon/internal/cli"
)

func main() { os.Exit(cli.Main()) }

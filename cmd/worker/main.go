// Command worker is the side of Carillon that delivers: it checks every job
// once more, claims it, sends it, and records what became of it.
package main

import (
	"os"

	"github.com/carillon-dev/carillon/internal/cli"
)

func main() { os.Exit(cli.WorkerMain()) }

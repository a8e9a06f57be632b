// Command scheduler is the side of Carillon that takes orders: it serves the
// API, and one of all its processes leads: freezes audiences, releases jobs
// to the workers, and repairs what was lost on the way.
package main

import (
	"os"

	"github.com/carillon-dev/carillon/internal/cli"
)

func main() { os.Exit(cli.SchedulerMain()) }

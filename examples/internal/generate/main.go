// Command generate writes examples/contacts.csv to standard output: the
// contacts of an invented bakery chain, the same bytes at every run.
//
//	go run ./examples/internal/generate > examples/contacts.csv
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	write(out)
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

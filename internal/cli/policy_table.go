package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/carillon-dev/carillon/internal/console"
)

// table is rows of cells that wrap within the widths of their columns; two
// spaces part the columns.
type table struct {
	widths []int
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(out io.Writer) error {
	var b bytes.Buffer
	for _, row := range t.rows {
		lines := make([][]string, len(row))
		height := 1
		for i, cell := range row {
			lines[i] = wrap(console.Clean(cell), t.widths[i]) // a rulebook's words come from anywhere
			height = max(height, len(lines[i]))
		}
		for h := range height {
			var line strings.Builder
			for i := range row {
				cell := ""
				if h < len(lines[i]) {
					cell = lines[i][h]
				}
				fmt.Fprintf(&line, "%-*s  ", t.widths[i], cell)
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	_, err := out.Write(b.Bytes())
	return err
}

// wrap breaks s at spaces and after commas into lines of at most width bytes;
// a longer word is cut, after an underscore if it has one.
func wrap(s string, width int) []string {
	var lines []string
	for len(s) > width {
		indent := len(s) - len(strings.TrimLeft(s, " "))
		cut := max(strings.LastIndexByte(s[:width+1], ' '), strings.LastIndexByte(s[:width], ',')+1)
		if cut <= indent {
			cut = strings.LastIndexByte(s[:width], '_') + 1
		}
		if cut <= indent {
			cut = width
		}
		lines = append(lines, strings.TrimRight(s[:cut], " "))
		s = strings.TrimLeft(s[cut:], " ")
	}
	return append(lines, s)
}

package console

import "strings"

// Column is one column of a Table.
type Column struct {
	Title string
	Right bool                    // flush right, as numbers are
	Whole bool                    // never cut: an id that somebody will copy
	Paint func(cell string) Color // nil: plain
}

const (
	// gap is the space between columns.
	gap = "  "
	// minColumn is what a column keeps when others need room.
	minColumn = 8
	// wrappedColumn is what a column keeps at the most in a table that runs
	// over the edge anyway, because of columns that are never cut.
	wrappedColumn = 30
	// sizingRows are the first rows, which the widths are taken from: a list
	// of millions is written in constant memory.
	sizingRows = 200
)

// Table writes rows in columns. Cells are cleaned, and cut where they would
// not fit.
type Table struct {
	t      *Terminal
	cols   []Column
	held   [][]string
	widths []int // nil: the first rows are still being held
	err    error
}

// NewTable begins a table. Without a title in any column it has no head.
func NewTable(t *Terminal, cols ...Column) *Table { return &Table{t: t, cols: cols} }

// Row adds a row with a cell for each column.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.cols))
	for i := range row {
		row[i] = Clean(cells[i])
	}
	if t.widths != nil {
		t.write(row)
		return
	}
	t.held = append(t.held, row)
	if len(t.held) == sizingRows {
		t.size()
	}
}

// Flush writes what is held and returns the first error of writing.
func (t *Table) Flush() error {
	if t.widths == nil {
		t.size()
	}
	return t.err
}

func (t *Table) size() {
	t.widths = make([]int, len(t.cols))
	titled := false
	for i, c := range t.cols {
		t.widths[i] = Width(c.Title)
		titled = titled || c.Title != ""
		for _, row := range t.held {
			t.widths[i] = max(t.widths[i], Width(row[i]))
		}
	}
	t.shrink()
	if titled {
		t.head()
	}
	for _, row := range t.held {
		t.write(row)
	}
	t.held = nil
}

// shrink takes columns from the widest that may be cut until all fit. Where
// they can't, cutting would lose text and win nothing.
func (t *Table) shrink() {
	if t.least() > t.t.Width() {
		for i, c := range t.cols {
			if !c.Whole {
				t.widths[i] = min(t.widths[i], wrappedColumn)
			}
		}
		return
	}
	for t.total() > t.t.Width() {
		widest := -1
		for i, c := range t.cols {
			if !c.Whole && t.widths[i] > t.floor(i) && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		t.widths[widest]--
	}
}

// total is what the columns take as they are.
func (t *Table) total() int {
	sum := len(gap) * (len(t.cols) - 1)
	for _, w := range t.widths {
		sum += w
	}
	return sum
}

// least is what the columns take when all that may be cut are.
func (t *Table) least() int {
	sum := len(gap) * (len(t.cols) - 1)
	for i := range t.cols {
		sum += t.floor(i)
	}
	return sum
}

// floor is what column i can't go below.
func (t *Table) floor(i int) int {
	if t.cols[i].Whole {
		return t.widths[i]
	}
	return min(t.widths[i], max(minColumn, Width(t.cols[i].Title)))
}

func (t *Table) head() {
	titles := make([]string, len(t.cols))
	for i, c := range t.cols {
		titles[i] = pad(c.Title, t.widths[i], c.Right)
	}
	t.line(t.t.Paint(Bold, strings.TrimRight(strings.Join(titles, gap), " ")))
}

func (t *Table) write(row []string) {
	var b strings.Builder
	for i, c := range t.cols {
		cell := row[i]
		if !c.Whole {
			cell = Cut(cell, t.widths[i])
		}
		color := Plain
		if c.Paint != nil {
			color = c.Paint(row[i])
		}
		cell = pad(cell, t.widths[i], c.Right)
		if i == len(t.cols)-1 {
			cell = strings.TrimRight(cell, " ")
		} else {
			cell += gap
		}
		b.WriteString(t.t.Paint(color, cell))
	}
	t.line(strings.TrimRight(b.String(), " "))
}

func (t *Table) line(s string) {
	if t.err == nil {
		_, t.err = t.t.Write([]byte(s + "\n"))
	}
}

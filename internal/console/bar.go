package console

import "strings"

// Segment is one part of a bar.
type Segment struct {
	Name  string
	N     int
	Glyph string // one column; tells parts apart where there are no colours
	Color Color
}

// Bar draws parts of a total in width columns. Every part that is not zero
// gets at least one column, as long as there are columns enough; what the
// parts leave of the total is drawn as "·".
func (t *Terminal) Bar(parts []Segment, total, width int) string {
	ns := make([]int, 0, len(parts)+1)
	sum := 0
	for _, p := range parts {
		ns = append(ns, max(0, p.N))
		sum += max(0, p.N)
	}
	ns = append(ns, max(0, total-sum))
	var b strings.Builder
	for i, cells := range share(ns, width) {
		glyph, color := "·", Dim
		if i < len(parts) {
			glyph, color = parts[i].Glyph, parts[i].Color
		}
		b.WriteString(t.Paint(color, strings.Repeat(glyph, cells)))
	}
	return b.String()
}

// share deals out width columns by the weights ns: at the running sums, so
// that rounding never adds up, then one from the widest to each part that
// would have none.
func share(ns []int, width int) []int {
	out := make([]int, len(ns))
	sum := 0
	for _, n := range ns {
		sum += n
	}
	if sum == 0 {
		out[len(out)-1] = width
		return out
	}
	running, before := 0, 0
	for i, n := range ns {
		running += n
		edge := int(float64(running) / float64(sum) * float64(width))
		out[i], before = edge-before, edge
	}
	for i, n := range ns {
		widest := argmax(out)
		if n > 0 && out[i] == 0 && out[widest] > 1 {
			out[widest]--
			out[i]++
		}
	}
	return out
}

func argmax(ns []int) int {
	best := 0
	for i, n := range ns {
		if n > ns[best] {
			best = i
		}
	}
	return best
}

// Legend names the parts that are not zero, in lines that fit width.
func (t *Terminal) Legend(parts []Segment, width int) []string {
	var words []string
	colors := map[string]Color{}
	for _, p := range parts {
		if p.N == 0 {
			continue
		}
		w := p.Glyph + " " + p.Name + " " + Count(p.N)
		words, colors[w] = append(words, w), p.Color
	}
	lines := join(words, "   ", width)
	for i, line := range lines {
		// Widths are taken before colours are put in.
		ws := strings.Split(line, "   ")
		for k, w := range ws {
			ws[k] = t.Paint(colors[w], w)
		}
		lines[i] = strings.Join(ws, "   ")
	}
	return lines
}

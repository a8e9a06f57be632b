package policy

import (
	"fmt"
	"slices"
	"strings"
)

// entriesOf tells permissions that share an id apart; "" for one that is
// alone.
func entriesOf(all []*permission) []string {
	return labels(len(all), func(i int) string { return all[i].ID },
		func(i int) string { return namesOf(all[i].Tags) },
		func(i int) string { return channelsOf(all[i].Channels) },
		func(i int) string { return daysOf(&all[i].Clause) })
}

// adviceEntries is entriesOf for advice.
func adviceEntries(all []advice) []string {
	return labels(len(all), func(i int) string { return all[i].ID },
		func(i int) string { return namesOf(all[i].Phrases) },
		func(i int) string { return channelsOf(all[i].Channels) },
		func(i int) string { return daysOf(&all[i].Clause) })
}

// labels gives each of n entries that shares its id with others the first of
// the kinds that differs among all of them, else its number among them.
func labels(n int, id func(int) string, kinds ...func(int) string) []string {
	groups := map[string][]int{}
	for i := range n {
		groups[id(i)] = append(groups[id(i)], i)
	}
	out := make([]string, n)
	for _, group := range groups {
		if len(group) == 1 {
			continue
		}
		for k, i := range group {
			out[i] = fmt.Sprintf("%d of %d", k+1, len(group))
		}
		for _, kind := range kinds {
			if own := apart(group, kind); own != nil {
				for k, i := range group {
					out[i] = own[k]
				}
				break
			}
		}
	}
	return out
}

// apart is what kind says of each of the group, nil unless all differ.
func apart(group []int, kind func(int) string) []string {
	var own []string
	for _, i := range group {
		s := kind(i)
		if s == "" || slices.Contains(own, s) {
			return nil
		}
		own = append(own, s)
	}
	return own
}

func namesOf(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
}

func channelsOf(cs []Channel) string {
	if len(cs) == 0 {
		return "all channels"
	}
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, " and ")
}

func daysOf(c *Clause) string {
	switch {
	case c.From.IsZero() && c.To.IsZero():
		return "always"
	case c.From.IsZero():
		return "until " + c.To.String()
	case c.To.IsZero():
		return "from " + c.From.String()
	default:
		return "from " + c.From.String() + " until " + c.To.String()
	}
}

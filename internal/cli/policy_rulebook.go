package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/internal/app"
)

const rulebookHelp = `The rulebook in force, as the file that --rulebook and CARILLON_RULEBOOK read:
that of --rulebook, else of CARILLON_RULEBOOK, else the built-in one. Start one of
your own from it. With --json the same as JSON, which is read as well.`

func newRulebookCommand(open func() (app.Rulebook, error), asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:     "rulebook",
		Short:   "The rulebook in force, as a file to start one's own from",
		Long:    rulebookHelp,
		Example: "  carillon policy rulebook > mine.yaml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			book, err := open()
			if err != nil {
				return err
			}
			text := book.Text
			if *asJSON {
				if text, err = jsonOf(text); err != nil {
					return err
				}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

// jsonOf is a YAML document as a line of JSON, with its fields in their
// order. Days stay as they are written.
func jsonOf(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	var b bytes.Buffer
	if err := writeNode(&b, &doc); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func writeNode(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.DocumentNode:
		return writeNode(b, n.Content[0])
	case yaml.AliasNode:
		return writeNode(b, n.Alias)
	case yaml.MappingNode:
		return writeNodes(b, n.Content, '{', '}')
	case yaml.SequenceNode:
		return writeNodes(b, n.Content, '[', ']')
	default:
		return writeScalar(b, n)
	}
}

// writeNodes writes a list, or keys and values in turn.
func writeNodes(b *bytes.Buffer, nodes []*yaml.Node, begin, end byte) error {
	b.WriteByte(begin)
	for i, n := range nodes {
		switch {
		case i == 0:
		case begin == '{' && i%2 == 1:
			b.WriteByte(':')
		default:
			b.WriteByte(',')
		}
		if begin == '{' && i%2 == 0 {
			b.WriteString(quoted(n.Value))
			continue
		}
		if err := writeNode(b, n); err != nil {
			return err
		}
	}
	b.WriteByte(end)
	return nil
}

// writeScalar writes truths, numbers and nothing as such, all else as text.
func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Tag {
	case "!!bool", "!!int", "!!float", "!!null":
		var v any
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("rulebook: line %d: %w", n.Line, err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("rulebook: line %d: %w", n.Line, err)
		}
		b.Write(text)
	default:
		b.WriteString(quoted(n.Value))
	}
	return nil
}

// quoted is s as a JSON string, with < and & left as they are.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings always marshal
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

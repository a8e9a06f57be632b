package schema

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/internal/definition"
)

var update = flag.Bool("update", false, "write flow.json")

func current(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, Flow()) {
		t.Errorf("%s is not current: run go test ./internal/flow/schema -update", file)
	}
}

// TestSchemaAgreesWithDecoding holds documents, one of them wrong each, against
// the schema and against what reads them.
func TestSchemaAgreesWithDecoding(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Flow()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("flow.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("flow.json")
	if err != nil {
		t.Fatal(err)
	}
	samples, err := os.ReadFile("testdata/samples.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for sample := range strings.SplitSeq(strings.TrimPrefix(string(samples), "# "), "\n# ") {
		title, text, _ := strings.Cut(sample, "\n")
		want, name, _ := strings.Cut(title, ": ")
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fits := s.Validate(v)
		_, taken := definition.Decode("f", []byte(text))
		switch want {
		case "good": // both take it
			if good++; fits != nil || taken != nil {
				t.Errorf("%s: schema %v, decoding %v", name, fits, taken)
			}
		case "bad": // neither does
			if bad++; fits == nil || taken == nil {
				t.Errorf("%s: schema %v, decoding %v", name, fits, taken)
			}
		case "later": // only whoever applies sees it
			if fits != nil || taken == nil {
				t.Errorf("%s: schema %v, decoding %v", name, fits, taken)
			}
		default:
			t.Errorf("%q: want good, bad or later", title)
		}
	}
	if good < 5 || bad < 20 {
		t.Errorf("%d good and %d bad samples were found", good, bad)
	}
}

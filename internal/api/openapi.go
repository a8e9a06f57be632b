package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"

	"go.yaml.in/yaml/v3"
)

// documentPath is where the document is, for everybody.
const documentPath = "/v1/openapi.json"

//go:embed openapi.yaml
var documentYAML []byte

// document returns the OpenAPI document as JSON. It is written as YAML, which
// people read.
func document() ([]byte, error) {
	var v map[string]any
	if err := yaml.Unmarshal(documentYAML, &v); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	return b, nil
}

func (s *Server) openapi(a *answer, _ *http.Request) error {
	a.Header().Set("Content-Type", "application/json")
	a.WriteHeader(http.StatusOK)
	_, _ = a.Write(s.document) // a caller that has gone needs no answer
	return nil
}

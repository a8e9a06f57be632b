package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/internal/secret"
)

// FileEnv names the configuration file, where no flag does.
const FileEnv = "CARILLON_CONFIG"

// Given is what a process was told, from the strongest to the weakest.
type Given struct {
	Flags  map[string]string // by a setting's name, or its name with -file
	Getenv func(string) string
	File   string // "": what FileEnv names, if anything
}

// given is one value and who said it.
type given struct {
	value string
	by    string // for errors
	file  bool   // it stood in the configuration file
}

// Load returns the configuration of a process of one role. Its error is one
// line that names the flag, variable, or file and line, and what it wants.
func Load(of Role, g Given) (Config, error) {
	c := Default()
	file := g.File
	if file == "" {
		file = g.Getenv(FileEnv)
	}
	lines, err := readFile(file)
	if err != nil {
		return c, err
	}
	for _, s := range Settings() {
		v, ok, err := s.find(g, lines)
		if err == nil && ok && s.Of&of != 0 {
			err = s.take(&c, v)
		}
		if err != nil {
			return c, err
		}
	}
	return c, c.check(of)
}

// FlagError is what is wrong with the value of a flag.
type FlagError struct{ error }

// Unwrap returns what it is.
func (e FlagError) Unwrap() error { return e.error }

// find returns what was said of a setting, the strongest first.
func (s Setting) find(g Given, lines map[string]given) (given, bool, error) {
	if v, ok := g.Flags[s.Name]; ok {
		return given{value: v, by: "--" + s.Name}, true, nil
	}
	if v, ok := g.Flags[s.Name+"-file"]; ok {
		return readSecret(v, "--"+s.Name+"-file")
	}
	direct, named := g.Getenv(s.Env), ""
	if s.Secret() {
		named = g.Getenv(s.Env + "_FILE")
	}
	switch {
	case direct != "" && named != "":
		return given{}, false, fmt.Errorf("%s and %s_FILE are both set: want one", s.Env, s.Env)
	case direct != "":
		return given{value: direct, by: s.Env}, true, nil
	case named != "":
		return readSecret(named, s.Env+"_FILE")
	}
	if v, ok := lines[s.Name+"-file"]; ok && s.Secret() {
		return readSecret(v.value, v.by)
	}
	v, ok := lines[s.Name]
	return v, ok, nil
}

func readSecret(path, by string) (given, bool, error) {
	b, err := secret.ReadFile(path)
	if err != nil {
		return given{}, false, fmt.Errorf("%s: %w", by, err)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return given{}, false, fmt.Errorf("%s: %s is empty", by, path)
	}
	return given{value: v, by: by}, true, nil
}

// take sets a value, unless it is a secret in a place where others read it.
func (s Setting) take(c *Config, v given) error {
	err := s.set(c, v.value)
	if err != nil {
		err = fmt.Errorf("%s %w", v.by, err)
	}
	if err != nil && strings.HasPrefix(v.by, "--") {
		return FlagError{err}
	}
	if err != nil {
		return err
	}
	exposed := v.file || strings.HasPrefix(v.by, "--") && !strings.HasSuffix(v.by, "-file")
	if exposed && (s.exposure == hidden || s.exposure == locator && carriesPassword(v.value)) {
		return fmt.Errorf("%s: a secret does not belong there; give it in %s, or in a file that %s_FILE names", v.by, s.Env, s.Env)
	}
	return nil
}

// carriesPassword tells whether one of some URLs has credentials in it: before
// its host, or, as those of the servers behind Sentinel are given, in its
// query. What can't be read may have.
func carriesPassword(urls string) bool {
	for one := range strings.SplitSeq(urls, ",") {
		if !strings.Contains(one, "://") { // NATS takes user:password@host too
			one = "any://" + strings.TrimSpace(one)
		}
		u, err := url.Parse(one)
		if err != nil || u.User != nil {
			return true
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || slices.ContainsFunc(slices.Collect(maps.Keys(q)), isPassword) {
			return true
		}
	}
	return false
}

// isPassword tells whether a parameter is one, such as sentinel_password.
func isPassword(parameter string) bool {
	return strings.Contains(strings.ToLower(parameter), "pass")
}

// readFile reads a configuration file: a YAML mapping of settings' names. An
// empty name is none.
func readFile(path string) (map[string]given, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	var doc yaml.Node
	if err := yaml.NewDecoder(f).Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("configuration: %s: %w", path, err)
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want settings, one on a line, such as listen: %s", path, root.Line, DefaultListen)
	}
	return mapping(path, root)
}

func mapping(path string, root *yaml.Node) (map[string]given, error) {
	names := map[string]bool{}
	for _, s := range Settings() {
		names[s.Name] = true
		names[s.Name+"-file"] = s.Secret()
	}
	out := map[string]given{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		by := fmt.Sprintf("%s:%d: %s", path, k.Line, k.Value)
		switch _, twice := out[k.Value]; {
		case !names[k.Value]:
			return nil, fmt.Errorf("%s: there is no such setting; docs/configuration.md lists them", by)
		case twice:
			return nil, fmt.Errorf("%s stands twice", by)
		case v.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("%s: want one value", by)
		}
		out[k.Value] = given{value: v.Value, by: by, file: true}
	}
	return out, nil
}

// check holds settings against each other, and against the role.
func (c Config) check(of Role) error {
	for _, pair := range []struct{ one, two, names string }{
		{c.TLSCert, c.TLSKey, "CARILLON_TLS_CERT and CARILLON_TLS_KEY"},
		{c.NATSCert, c.NATSKey, "CARILLON_NATS_CERT and CARILLON_NATS_KEY"},
		{c.RedisCert, c.RedisKey, "CARILLON_REDIS_CERT and CARILLON_REDIS_KEY"},
	} {
		if (pair.one == "") != (pair.two == "") {
			return fmt.Errorf("%s: want both or none", pair.names)
		}
	}
	if c.NATSCredentials != "" && c.NATSNKey != "" {
		return errors.New("CARILLON_NATS_CREDENTIALS and CARILLON_NATS_NKEY are both set: want one")
	}
	if of == Dev {
		return nil
	}
	for _, needed := range []struct {
		of         Role
		value, env string
	}{
		{Scheduler | Worker, string(c.NATSURL), "CARILLON_NATS_URL"},
		{Scheduler | Worker, string(c.RedisURL), "CARILLON_REDIS_URL"},
		{Worker, c.MetaURL, "CARILLON_META_URL"},
	} {
		if needed.of&of != 0 && needed.value == "" {
			return fmt.Errorf("%s is not set: scheduler and worker share what it names; only carillon dev brings its own", needed.env)
		}
	}
	return nil
}

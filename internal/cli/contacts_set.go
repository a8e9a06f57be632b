package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/pkg/client"
)

// setting is one `contacts set`, as the flags say it.
type setting struct {
	name, timezone, at string
	labels, unlabels   []string
	attributes, unset  []string
	consent            bool
	optIn              string
}

func newSetCommand(s *session) *cobra.Command {
	var f setting
	cmd := &cobra.Command{
		Use:   "set SENDER/ID",
		Short: "Say what changed of a contact, known or not",
		Long: "Say what changed of a contact, known or not. Each field counts by itself: of what is said of a label,\n" +
			"the newest counts, so that a change told late, or twice, undoes nothing. What is not named stays.\n" +
			"An opt-out is recorded by carillon optout, which waits until nothing is on its way.",
		Example: "  carillon contacts set bakery/7301 --name Ada --label vip --unlabel trial --attribute city=Oslo --unset plan",
		Args:    exactly("SENDER/ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sender, id, err := parseContact(args[0])
			if err != nil {
				return err
			}
			change, err := f.change(cmd, id)
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			got, err := c.ChangeContacts(cmd.Context(), sender, change)
			if err != nil {
				return err
			}
			return s.changed(args[0], got)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "the contact's `NAME`; empty for none")
	fl.StringVar(&f.timezone, "timezone", "", "IANA `ZONE`, such as Europe/Oslo; empty for unknown")
	fl.StringArrayVar(&f.labels, "label", nil, "put `LABEL` on; may be given again")
	fl.StringArrayVar(&f.unlabels, "unlabel", nil, "take `LABEL` off; may be given again")
	fl.StringArrayVar(&f.attributes, "attribute", nil, "set an attribute, `NAME=VALUE`; may be given again")
	fl.StringArrayVar(&f.unset, "unset", nil, "unset the attribute `NAME`; may be given again")
	fl.BoolVar(&f.consent, "sms-consent", false, "the contact agreed to text messages")
	fl.StringVar(&f.optIn, "opt-in", "", "the contact's own word that it wants messages again: `all` or marketing")
	fl.StringVar(&f.at, "at", "", "since when it is so: a time, or how long ago, such as 90m; now where absent")
	_ = cmd.RegisterFlagCompletionFunc("opt-in", cobra.FixedCompletions([]string{"all", "marketing"}, cobra.ShellCompDirectiveNoFileComp))
	return withKeyFlag(cmd)
}

// change reads the flags that were given.
func (f *setting) change(cmd *cobra.Command, id string) (client.ContactChange, error) {
	c := client.ContactChange{Contact: id, SMSConsent: f.consent, OptIn: f.optIn, Labels: map[string]bool{}, Attributes: map[string]*string{}}
	var err error
	if c.At, err = parsePast("at", f.at, time.Now()); err != nil {
		return c, err
	}
	if f.optIn != "" {
		if err := oneOf("opt-in", f.optIn, "all", "marketing"); err != nil {
			return c, err
		}
	}
	if cmd.Flags().Changed("name") {
		c.Name = &f.name
	}
	if cmd.Flags().Changed("timezone") {
		c.Timezone = &f.timezone
	}
	for _, l := range f.labels {
		c.Labels[l] = true
	}
	for _, l := range f.unlabels {
		if c.Labels[l] {
			return c, usageError{fmt.Errorf("--label and --unlabel %q: want one of them", l)}
		}
		c.Labels[l] = false
	}
	if err := f.setAttributes(&c); err != nil {
		return c, err
	}
	if c.Name == nil && c.Timezone == nil && len(c.Labels)+len(c.Attributes) == 0 && !c.SMSConsent && c.OptIn == "" {
		return c, usageError{fmt.Errorf("%s: name what changed, such as --label vip", cmd.CommandPath())}
	}
	return c, nil
}

func (f *setting) setAttributes(c *client.ContactChange) error {
	for _, a := range f.attributes {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return usageError{fmt.Errorf("--attribute %q: want NAME=VALUE", a)}
		}
		c.Attributes[name] = &value
	}
	for _, name := range f.unset {
		if c.Attributes[name] != nil {
			return usageError{fmt.Errorf("--attribute and --unset %q: want one of them", name)}
		}
		c.Attributes[name] = nil
	}
	return nil
}

func (s *session) changed(contact string, r client.ContactsChanged) error {
	if s.json {
		return s.writeJSON(r)
	}
	if !r.InForce {
		s.notInForce()
	}
	what := "changed"
	if r.Written == 0 {
		what = "nothing to change: it is so already, or something newer is known"
	}
	_, err := fmt.Fprintf(s.out, "%s: %s\n", contact, what)
	return err
}

package push

import (
	"fmt"
	"net/netip"
	"syscall"
)

// NotPublic says that an address is one that only a private network has.
// Whoever may name a receiver could otherwise have this process call what
// only it can reach: a cloud's metadata, a database, itself.
type NotPublic struct{ Address netip.Addr }

// Error names the address, and what would allow it.
func (e *NotPublic) Error() string {
	return fmt.Sprintf("%s is no public address; allow_private lets pushes go there", e.Address)
}

// guard is a dialer's Control: it sees the address that a connection is about
// to be made to, after its name was looked up, so that a name that leads
// somewhere else the second time gains nothing.
func guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !public(ap.Addr()) {
		return &NotPublic{ap.Addr().WithZone("")}
	}
	return nil
}

// reserved are the networks of IANA's registries of special-purpose addresses
// that are not globally reachable, or that lead to IPv4 addresses which may
// not be.
func reserved() []string {
	return []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	}
}

// public tells whether an address is one of the internet's. An IPv4 address
// in the clothes of an IPv6 one is what it is.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return false
	}
	for _, r := range reserved() {
		if netip.MustParsePrefix(r).Contains(a) {
			return false
		}
	}
	return true
}

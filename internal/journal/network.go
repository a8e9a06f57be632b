package journal

import "net/netip"

// Network returns the network that an address belongs to, such as
// 203.0.113.0/24 or 2001:db8:1::/48: enough to tell where a caller sat, and
// too little to be a person's address. What is no address gives "".
func Network(addr netip.Addr) string {
	bits := 48
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil || !addr.IsValid() {
		return ""
	}
	return p.String()
}

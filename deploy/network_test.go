package deploy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// needed are the arrows that exist, each as "from > to:port", and no others.
func needed(overlay string) []string {
	out := []string{
		"namespace ingress-nginx > scheduler:8080",
		"namespace monitoring > scheduler:8081", "namespace monitoring > worker:8081",
		"scheduler > nats:4222", "worker > nats:4222",
		"scheduler > redis:6379", "worker > redis:6379",
		"scheduler > kube-dns:53", "scheduler > kube-dns:53/UDP", "worker > kube-dns:53", "worker > kube-dns:53/UDP",
		"worker > internet:443",
	}
	if overlay == "cluster" {
		out = append(
			out, "scheduler > sentinel:26379", "worker > sentinel:26379",
			"nats > nats:6222", "redis > redis:6379", "redis > sentinel:26379", "sentinel > redis:6379", "sentinel > sentinel:26379",
			"nats > kube-dns:53", "nats > kube-dns:53/UDP", "redis > kube-dns:53", "redis > kube-dns:53/UDP", "sentinel > kube-dns:53", "sentinel > kube-dns:53/UDP",
		)
	}
	return out
}

// arrows compares what the policies let through with what is needed. An arrow
// inside the namespace counts once its end lets it in and its start lets it
// out; one of the two alone is half an arrow.
func arrows(l *layout) (found []string) {
	if !l.denied() {
		found = append(found, "no policy denies everything to every pod, both ways")
	}
	there := l.outside()
	for _, from := range l.names() {
		for _, to := range l.names() {
			for _, c := range l.pods[to].main().Ports {
				out, in := l.leaves(l.pods[from], l.pods[to], c), l.enters(l.pods[from], l.pods[to], c)
				arrow := fmt.Sprintf("%s > %s:%d", from, to, c.ContainerPort)
				switch {
				case out && in:
					there = append(there, arrow)
				case out != in:
					found = append(found, fmt.Sprintf("half an arrow: %s (out %v, in %v)", arrow, out, in))
				}
			}
		}
	}
	want := needed(l.overlay)
	for _, a := range want {
		if !slices.Contains(there, a) {
			found = append(found, "missing: "+a)
		}
	}
	for _, a := range there {
		if !slices.Contains(want, a) {
			found = append(found, "too much: "+a)
		}
	}
	return found
}

func (l *layout) denied() bool {
	return slices.ContainsFunc(l.policies, func(p *networkingv1.NetworkPolicy) bool {
		return len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0 && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0 &&
			slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	})
}

// leaves tells whether some policy of one pod lets it reach another's port.
func (l *layout) leaves(from, to *pod, port corev1.ContainerPort) bool {
	return slices.ContainsFunc(l.policies, func(p *networkingv1.NetworkPolicy) bool {
		return from.is(&p.Spec.PodSelector) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) &&
			slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
				return within(to, r.To) && covers(r.Ports, port)
			})
	})
}

// enters tells whether some policy of a pod lets another reach its port.
func (l *layout) enters(from, to *pod, port corev1.ContainerPort) bool {
	return slices.ContainsFunc(l.policies, func(p *networkingv1.NetworkPolicy) bool {
		return to.is(&p.Spec.PodSelector) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) &&
			slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
				return within(from, r.From) && covers(r.Ports, port)
			})
	})
}

// within tells whether peers take in a pod of this namespace; no peers at all
// are everybody.
func within(p *pod, peers []networkingv1.NetworkPolicyPeer) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		own := peer.NamespaceSelector == nil || selector(peer.NamespaceSelector).Matches(namespaceLabels())
		switch {
		case peer.IPBlock != nil:
			return false // pods have private addresses, see outside
		case peer.PodSelector == nil:
			return peer.NamespaceSelector != nil && own
		default:
			return own && p.is(peer.PodSelector)
		}
	})
}

type labelSet map[string]string

func (s labelSet) Has(k string) bool              { _, ok := s[k]; return ok }
func (s labelSet) Get(k string) string            { return s[k] }
func (s labelSet) Lookup(k string) (string, bool) { v, ok := s[k]; return v, ok }
func namespaceLabels() labelSet                   { return labelSet{corev1.LabelMetadataName: namespace} }

// covers tells whether ports take in one; no ports at all are every port.
func covers(ports []networkingv1.NetworkPolicyPort, c corev1.ContainerPort) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		same := p.Protocol != nil && *p.Protocol == c.Protocol && p.EndPort == nil
		return same && (p.Port == nil || p.Port.Type == intstr.String && p.Port.StrVal == c.Name || p.Port.Type == intstr.Int && p.Port.IntVal == c.ContainerPort)
	})
}

// outside are the arrows that begin or end outside the namespace.
func (l *layout) outside() (out []string) {
	for _, name := range l.names() {
		for _, p := range l.policies {
			if !l.pods[name].is(&p.Spec.PodSelector) {
				continue
			}
			for _, r := range p.Spec.Ingress {
				for _, from := range strangers(r.From) {
					for _, port := range spelled(r.Ports, l.pods[name].main()) {
						out = append(out, from+" > "+name+":"+port)
					}
				}
			}
			for _, r := range p.Spec.Egress {
				for _, to := range strangers(r.To) {
					for _, port := range spelled(r.Ports, nil) {
						out = append(out, name+" > "+to+":"+port)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// strangers names the peers that are not of this namespace.
func strangers(peers []networkingv1.NetworkPolicyPeer) (out []string) {
	if len(peers) == 0 {
		return []string{"anybody"}
	}
	for _, p := range peers {
		space := ""
		if p.NamespaceSelector != nil {
			space = p.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
		}
		switch {
		case p.IPBlock != nil && public(p.IPBlock):
			out = append(out, "internet")
		case p.IPBlock != nil:
			out = append(out, "addresses "+p.IPBlock.CIDR)
		case p.NamespaceSelector == nil || space == namespace:
		case space == "kube-system" && p.PodSelector != nil && p.PodSelector.MatchLabels["k8s-app"] == "kube-dns":
			out = append(out, "kube-dns")
		case p.PodSelector == nil && space != "":
			out = append(out, "namespace "+space)
		default:
			out = append(out, "a peer that no check knows: "+p.String())
		}
	}
	return out
}

// public tells whether a block of addresses has none that is inside a cluster,
// a company or a cloud: RFC 1918, 6598 (shared), 3927 and 4291 (link-local,
// where clouds serve credentials), 4193 and loopback.
func public(b *networkingv1.IPBlock) bool {
	all, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return false
	}
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"} {
		p := netip.MustParsePrefix(private)
		excepted := slices.ContainsFunc(b.Except, func(e string) bool {
			x, err := netip.ParsePrefix(e)
			return err == nil && x.Bits() <= p.Bits() && x.Contains(p.Addr())
		})
		if all.Overlaps(p) && !excepted {
			return false
		}
	}
	return true
}

// spelled writes ports as numbers. Those of a pod of ours may be given by name.
func spelled(ports []networkingv1.NetworkPolicyPort, c *corev1.Container) (out []string) {
	if len(ports) == 0 {
		return []string{"any"}
	}
	for _, p := range ports {
		number := "unknown"
		if p.Port != nil && p.Port.Type == intstr.Int {
			number = p.Port.String()
		} else if n, ok := port(c, *p.Port); ok {
			number = fmt.Sprint(n)
		}
		if *p.Protocol != corev1.ProtocolTCP {
			number += "/" + string(*p.Protocol)
		}
		out = append(out, number)
	}
	return out
}

// port finds a container's port by number or name.
func port(c *corev1.Container, p intstr.IntOrString) (int32, bool) {
	if c == nil {
		return 0, false
	}
	for _, o := range c.Ports {
		if p.Type == intstr.String && o.Name == p.StrVal || p.Type == intstr.Int && o.ContainerPort == p.IntVal {
			return o.ContainerPort, true
		}
	}
	return 0, false
}

// deadRules finds selectors that pick no pod and ports that nobody listens on:
// they say that there is an arrow where there is none.
func deadRules(l *layout) (found []string) {
	for _, p := range l.policies {
		ends := l.picked(&p.Spec.PodSelector)
		if len(ends) == 0 {
			found = append(found, p.Name+" is about no pod")
		}
		for _, r := range p.Spec.Ingress {
			found = append(found, l.deadPeers(p.Name, r.From)...)
			for _, q := range r.Ports {
				found = append(found, unheard(p.Name, q, ends)...)
			}
		}
		for _, r := range p.Spec.Egress {
			found = append(found, l.deadPeers(p.Name, r.To)...)
			var to []*pod
			for _, peer := range r.To {
				if peer.NamespaceSelector == nil {
					to = append(to, l.picked(peer.PodSelector)...)
				}
			}
			for _, q := range r.Ports {
				found = append(found, unheard(p.Name, q, to)...)
			}
		}
	}
	return found
}

func (l *layout) picked(s *metav1.LabelSelector) (out []*pod) {
	for _, name := range l.names() {
		if l.pods[name].is(s) {
			out = append(out, l.pods[name])
		}
	}
	return out
}

// deadPeers finds names in selectors that no pod has.
func (l *layout) deadPeers(policy string, peers []networkingv1.NetworkPolicyPeer) (found []string) {
	for _, peer := range peers {
		if peer.NamespaceSelector != nil || peer.PodSelector == nil {
			continue
		}
		names := []string{}
		for _, v := range peer.PodSelector.MatchLabels {
			names = append(names, v)
		}
		for _, e := range peer.PodSelector.MatchExpressions {
			names = append(names, e.Values...)
		}
		for _, n := range names {
			if l.pods[n] == nil {
				found = append(found, fmt.Sprintf("%s names %s, which is no pod", policy, n))
			}
		}
	}
	return found
}

// unheard tells on which pods nobody listens on a port.
func unheard(policy string, q networkingv1.NetworkPolicyPort, pods []*pod) (found []string) {
	if q.Port == nil || q.Protocol == nil {
		return []string{policy + " has a rule for every port or protocol"}
	}
	for _, p := range pods {
		if _, ok := port(p.main(), *q.Port); !ok {
			found = append(found, fmt.Sprintf("%s lets through %s to %s, which does not listen there", policy, q.Port, p.name))
		}
	}
	return found
}

// services wants each to lead to pods that listen on its port, and each
// StatefulSet's names to be served by a headless one.
func services(l *layout) (found []string) {
	for name, s := range l.services {
		ends := l.picked(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(s.Spec.Selector) == 0 || len(ends) != 1 {
			found = append(found, fmt.Sprintf("service %s leads to %d kinds of pods", name, len(ends)))
			continue
		}
		for _, p := range s.Spec.Ports {
			if _, ok := port(ends[0].main(), p.TargetPort); !ok {
				found = append(found, fmt.Sprintf("service %s leads to port %s of %s, where nobody listens", name, p.TargetPort.String(), ends[0].name))
			}
		}
	}
	return append(found, l.each(func(p *pod) (found []string) {
		if !p.is(p.selector) {
			found = append(found, "its selector does not pick its own pods")
		}
		if s := l.services[p.service]; p.service != "" && (s == nil || s.Spec.ClusterIP != corev1.ClusterIPNone) {
			found = append(found, "service "+p.service+", which gives its pods their names, is not headless")
		}
		if at, ok := p.template.Annotations["prometheus.io/port"]; ok {
			if _, there := port(p.main(), intstr.Parse(at)); !there {
				found = append(found, "Prometheus is told of port "+at+", where nobody listens")
			}
		}
		return found
	})...)
}

// servicePort returns the name of the pods behind a service's host and port,
// "" where there is none. A pod's own name in front of a headless service is
// of that service.
func (l *layout) servicePort(host, number string) string {
	if i := strings.IndexByte(host, '.'); i >= 0 {
		host = host[i+1:]
	}
	s := l.services[host]
	if s == nil {
		return ""
	}
	for _, p := range s.Spec.Ports {
		if fmt.Sprint(p.Port) == number {
			return s.Spec.Selector[nameLabel]
		}
	}
	return ""
}

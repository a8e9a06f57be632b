package deploy

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// policy returns one of a layout's by its name.
func (l *layout) policy(name string) *networkingv1.NetworkPolicySpec {
	i := slices.IndexFunc(l.policies, func(p *networkingv1.NetworkPolicy) bool { return p.Name == name })
	return &l.policies[i].Spec
}

// set gives a container's variable a value, or adds it.
func set(c *corev1.Container, name, value string) {
	for i := range c.Env {
		if c.Env[i].Name == name {
			c.Env[i].Value = value
			return
		}
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
}

func ptr[T any](v T) *T { return &v }

// A layout is spoilt in one place after the other, and the check whose
// business that is must say so. What passes here would pass in an overlay.
func TestFaultsAreFound(t *testing.T) {
	text := build(t, "cluster")
	for _, c := range []struct {
		check string
		want  string
		spoil func(l *layout)
	}{
		{"security", "enforce", func(l *layout) { delete(l.spaces[0].Labels, "pod-security.kubernetes.io/enforce") }},
		{"security", "runAsNonRoot", func(l *layout) { l.pods["redis"].template.Spec.SecurityContext.RunAsNonRoot = nil }},
		{"security", "seccomp", func(l *layout) { l.pods["nats"].template.Spec.SecurityContext.SeccompProfile = nil }},
		{"security", "capabilities", func(l *layout) { l.pods["worker"].main().SecurityContext.Capabilities = nil }},
		{"security", "allowPrivilegeEscalation", func(l *layout) { l.pods["worker"].main().SecurityContext.AllowPrivilegeEscalation = nil }},
		{"security", "hostPath", func(l *layout) {
			l.pods["worker"].template.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
		}},
		{"security", "can write", func(l *layout) { l.pods["sentinel"].main().SecurityContext.ReadOnlyRootFilesystem = nil }},
		{"security", "token", func(l *layout) { l.accounts["worker"].AutomountServiceAccountToken = nil }},
		{"security", "token", func(l *layout) { l.pods["worker"].template.Spec.ServiceAccountName = "default" }},
		{"security", "variables of all services", func(l *layout) { l.pods["worker"].template.Spec.EnableServiceLinks = nil }},
		{"volumes", "no volume", func(l *layout) { l.pods["worker"].main().VolumeMounts[0].Name = "x" }},
		{"volumes", "mounted nowhere", func(l *layout) { l.pods["worker"].main().VolumeMounts = nil }},
		{"volumes", "no ConfigMap", func(l *layout) { clear(l.configs) }},
		{"volumes", "key installation.txt of Secret carillon-key", func(l *layout) {
			set(l.pods["worker"].main(), "CARILLON_KEY_FILE", "/etc/carillon/key/installation.txt")
		}},
		{"volumes", "Secret other", func(l *layout) {
			v, _ := l.pods["nats"].volume("tls")
			v.Secret.SecretName = "other"
		}},
		{"volumes", "no limit", func(l *layout) {
			v, _ := l.pods["worker"].volume("tmp")
			v.EmptyDir.SizeLimit = nil
		}},
		{"settings", "CARILLON_LISTENS is no setting", func(l *layout) { set(l.pods["scheduler"].main(), "CARILLON_LISTENS", "x") }},
		{"settings", "does not read", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_LISTEN", "0.0.0.0:8080") }},
		{"settings", "want text or json", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_LOG", "xml") }},
		{"settings", "want both or none", func(l *layout) { set(l.pods["scheduler"].main(), "CARILLON_TLS_KEY", "") }},
		{"settings", "holds a password", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_NATS_URL", "tls://u:p@nats:4222") }},
		{"settings", "no volume holds", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_NATS_CA", "/etc/ca.crt") }},
		{"settings", "not encrypted", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_NATS_URL", "nats://nats:4222") }},
		{"settings", "no port of a service", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_NATS_URL", "tls://nats:4223") }},
		{"settings", "says 8081", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_HEALTH", "0.0.0.0:8082") }},
		{"settings", "nobody outside the pod", func(l *layout) { set(l.pods["scheduler"].main(), "CARILLON_LISTEN", "127.0.0.1:8080") }},
		{"settings", "sync always", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_NATS_SYNC", "") }},
		{"settings", "command", func(l *layout) { l.pods["worker"].main().Args = []string{"--concurrency=3"} }},
		{"probes", "has no readiness", func(l *layout) { l.pods["redis"].main().ReadinessProbe = nil }},
		{"probes", "has no startup", func(l *layout) { l.pods["worker"].main().StartupProbe = nil }},
		{"probes", "no such port", func(l *layout) { l.pods["worker"].main().LivenessProbe.HTTPGet.Port = intstr.FromInt32(8080) }},
		{"probes", "another path", func(l *layout) { l.pods["worker"].main().ReadinessProbe.HTTPGet.Path = "/healthz" }},
		{"times", "is killed after 39s", func(l *layout) { l.pods["scheduler"].template.Spec.TerminationGracePeriodSeconds = ptr(int64(39)) }},
		{"times", "is killed after 34s", func(l *layout) { l.pods["worker"].template.Spec.TerminationGracePeriodSeconds = ptr(int64(34)) }},
		{"times", "is killed after 45s", func(l *layout) { set(l.pods["worker"].main(), "CARILLON_DRAIN", "41s") }},
		{"memory", "nine tenths", func(l *layout) { set(l.pods["worker"].main(), "GOMEMLIMIT", "512MiB") }},
		{"memory", "nine tenths", func(l *layout) { set(l.pods["nats"].main(), "GOMEMLIMIT", "") }},
		{"memory", "requests", func(l *layout) { delete(l.pods["redis"].main().Resources.Limits, "memory") }},
		{"memory", "requests", func(l *layout) {
			l.pods["redis"].main().Resources.Requests["cpu"] = resource.MustParse("3")
		}},
		{"services", "leads to 0", func(l *layout) { l.services["nats"].Spec.Selector = map[string]string{nameLabel: "gnats"} }},
		{"services", "nobody listens", func(l *layout) { l.services["scheduler"].Spec.Ports[0].TargetPort = intstr.FromInt32(443) }},
		{"services", "not headless", func(l *layout) { l.services["redis"].Spec.ClusterIP = "" }},
		{"services", "does not pick its own", func(l *layout) { l.pods["worker"].template.Labels[nameLabel] = "worker2" }},
		{"services", "Prometheus", func(l *layout) { l.pods["worker"].template.Annotations["prometheus.io/port"] = "9090" }},
		{"arrows", "no policy denies", func(l *layout) {
			l.policies = slices.DeleteFunc(l.policies, func(p *networkingv1.NetworkPolicy) bool { return p.Name == "default-deny" })
		}},
		{"arrows", "missing: worker > internet:443", func(l *layout) { p := l.policy("worker"); p.Egress = p.Egress[:2] }},
		{"arrows", "too much: worker > addresses 0.0.0.0/0:443", func(l *layout) { l.policy("worker").Egress[2].To[0].IPBlock.Except = nil }},
		{"arrows", "too much: anybody > scheduler:8080", func(l *layout) { l.policy("scheduler").Ingress[0].From = nil }},
		{"arrows", "too much: scheduler > anybody:4222", func(l *layout) { l.policy("scheduler").Egress[0].To = nil }},
		{"arrows", "half an arrow: worker > nats:4222 (out true, in false)", func(l *layout) {
			l.policy("nats").Ingress[0].From[0].PodSelector.MatchExpressions[0].Values = []string{"scheduler"}
		}},
		{"arrows", "half an arrow: worker > scheduler:8080 (out false, in true)", func(l *layout) {
			p := l.policy("scheduler")
			p.Ingress[0].From = append(p.Ingress[0].From, networkingv1.NetworkPolicyPeer{PodSelector: named("worker")})
		}},
		{"arrows", "missing: nats > nats:6222", func(l *layout) { l.policy("nats-routes").Egress[0].Ports[0].Port = ptr(intstr.FromInt32(6223)) }},
		{"arrows", "missing: worker > redis:6379", func(l *layout) {
			l.policy("redis").PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		}},
		{"rules", "is about no pod", func(l *layout) { l.policy("nats").PodSelector = *named("gnats") }},
		{"rules", "gnats, which is no pod", func(l *layout) { l.policy("worker").Egress[0].To[0].PodSelector = named("gnats") }},
		{"rules", "does not listen", func(l *layout) { l.policy("worker").Egress[0].Ports[0].Port = ptr(intstr.FromInt32(4223)) }},
		{"rules", "every port", func(l *layout) { l.policy("worker").Egress[0].Ports[0].Port = nil }},
		{"budgets", "has 0 budgets", func(l *layout) { l.budgets = l.budgets[1:] }},
		{"budgets", "not about one kind", func(l *layout) { l.budgets[0].Spec.Selector = nil }},
		{"budgets", "block every drain", func(l *layout) { l.budgets[0].Spec.MaxUnavailable = ptr(intstr.FromInt32(0)) }},
		{"budgets", "lets 2 of 2 go", func(l *layout) { l.budgets[0].Spec.MaxUnavailable = ptr(intstr.FromInt32(2)) }},
		{"budgets", "lets 2 of 3 go", func(l *layout) { l.budgets[2].Spec.MaxUnavailable = ptr(intstr.FromInt32(2)) }},
		{"budgets", "want maxUnavailable 0", func(l *layout) { l.pods["scheduler"].rollingUp.MaxUnavailable = ptr(intstr.FromInt32(1)) }},
		{"spread", "off one node", func(l *layout) { l.pods["worker"].template.Spec.Affinity = nil }},
		{"spread", "off one node", func(l *layout) {
			a := l.pods["nats"].template.Spec.Affinity.PodAntiAffinity
			a.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: a.RequiredDuringSchedulingIgnoredDuringExecution[0]}}
			a.RequiredDuringSchedulingIgnoredDuringExecution = nil
		}},
		{"spread", "over zones", func(l *layout) { l.pods["redis"].template.Spec.TopologySpreadConstraints = nil }},
		{"scaling", "leave replicas out", func(l *layout) { l.pods["worker"].replicas = ptr(int32(2)) }},
		{"scaling", "nothing that is there", func(l *layout) { l.scalers[0].Spec.ScaleTargetRef.Name = "workers" }},
		{"scaling", "adapter's rules serve", func(l *layout) { l.scalers[0].Spec.Metrics[0].External.Metric.Name = "queue_age" }},
		{"scaling", "though all is well", func(l *layout) {
			l.scalers[0].Spec.Metrics[0].External.Target.Value = ptr(resource.MustParse("1999m"))
		}},
		{"scaling", "sooner", func(l *layout) { l.scalers[0].Spec.Behavior.ScaleDown.StabilizationWindowSeconds = ptr(int32(0)) }},
		{"images", "has no version", func(l *layout) { l.pods["worker"].main().Image = "registry.example:5000/worker" }},
		{"images", "has no version", func(l *layout) { l.pods["worker"].main().Image = "worker:latest" }},
	} {
		l, err := decode("cluster", text)
		must(t, err)
		c.spoil(l)
		i := slices.IndexFunc(checks(), func(k check) bool { return k.name == c.check })
		if found := checks()[i].find(l); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
			t.Errorf("%s: found %q, want %q", c.check, found, c.want)
		}
	}
}

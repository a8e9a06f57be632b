package deploy

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	admission "k8s.io/pod-security-admission/policy"

	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/queue"
)

// each looks at every pod.
func (l *layout) each(look func(p *pod) []string) (found []string) {
	for _, name := range l.names() {
		for _, f := range look(l.pods[name]) {
			found = append(found, name+": "+f)
		}
	}
	return found
}

// insecure asks Kubernetes' own judge of pods for the level that the namespace
// enforces, and adds what that level leaves open.
func insecure(l *layout) (found []string) {
	if len(l.spaces) != 1 || l.spaces[0].Labels[api.EnforceLevelLabel] != string(api.LevelRestricted) {
		found = append(found, "the namespace does not enforce the restricted level")
	}
	judge, err := admission.NewEvaluator(admission.DefaultChecks(), nil)
	if err != nil {
		return append(found, err.Error())
	}
	return append(found, l.each(func(p *pod) (found []string) {
		meta, spec := p.template.ObjectMeta, p.template.Spec
		r := admission.AggregateCheckResults(judge.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &meta, &spec))
		if !r.Allowed {
			found = append(found, r.ForbiddenReason()+": "+r.ForbiddenDetail())
		}
		if is(spec.AutomountServiceAccountToken, true) || l.accounts[spec.ServiceAccountName] == nil || is(l.accounts[spec.ServiceAccountName].AutomountServiceAccountToken, true) {
			found = append(found, "wants an account of its own whose token is not mounted, on account and pod")
		}
		if is(spec.EnableServiceLinks, true) {
			found = append(found, "gets variables of all services")
		}
		if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
			return append(found, "has more than one container, which no check looks at")
		}
		if c := p.main().SecurityContext; c == nil || !is(c.ReadOnlyRootFilesystem, false) {
			found = append(found, "can write to its image")
		}
		return found
	})...)
}

// is returns what a pointer points to, or what holds where it is nil.
func is(b *bool, absent bool) bool {
	if b == nil {
		return absent
	}
	return *b
}

// loose finds volumes that nothing mounts, mounts of nothing, files of
// ConfigMaps that are not there, and secrets that no page tells how to make.
func loose(l *layout) (found []string) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		return []string{err.Error()}
	}
	return l.each(func(p *pod) (found []string) {
		mounted := map[string]bool{}
		for _, m := range p.main().VolumeMounts {
			mounted[m.Name] = true
			v, claim := p.volume(m.Name)
			switch {
			case v == nil && !claim:
				found = append(found, fmt.Sprintf("mounts %s, which is no volume", m.Name))
			case claim || v.EmptyDir != nil:
			case !m.ReadOnly:
				found = append(found, m.Name+" is mounted to be written")
			case v.ConfigMap != nil && l.configs[v.ConfigMap.Name] == nil:
				found = append(found, v.ConfigMap.Name+" is no ConfigMap of the overlay")
			}
		}
		for _, v := range p.template.Spec.Volumes {
			if !mounted[v.Name] {
				found = append(found, "volume "+v.Name+" is mounted nowhere")
			}
			if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
				found = append(found, "volume "+v.Name+" has no limit")
			}
		}
		for _, s := range p.secrets() {
			if !documented(string(page), s.name, s.key) {
				found = append(found, fmt.Sprintf("needs key %s of Secret %s, which docs/operations.md does not tell how to make", s.key, s.name))
			}
		}
		return found
	})
}

// documented tells whether a page has a command that makes a key of a secret.
func documented(page, name, key string) bool {
	for command := range strings.SplitSeq(strings.ReplaceAll(page, "\\\n", " "), "\n") {
		if strings.Contains(command, "create secret generic "+name+" ") && (key == "" || strings.Contains(command, "="+key+"=") ||
			strings.Contains(command, "--from-literal="+key+"=") || strings.Contains(command, "--from-file="+key+"=")) {
			return true
		}
	}
	return false
}

// volume returns a volume by its name, or that it is a claim of its own.
func (p *pod) volume(name string) (v *corev1.Volume, claim bool) {
	for i := range p.template.Spec.Volumes {
		if p.template.Spec.Volumes[i].Name == name {
			return &p.template.Spec.Volumes[i], false
		}
	}
	return nil, slices.ContainsFunc(p.claims, func(c corev1.PersistentVolumeClaim) bool { return c.Name == name })
}

// secretKey is a key of a Secret; "" for all of them.
type secretKey struct{ name, key string }

// secrets are the keys that a pod can't start or work without: by volume, by
// variable, and by the paths that settings and files name.
func (p *pod) secrets() (keys []secretKey) {
	for _, v := range p.template.Spec.Volumes {
		if v.Secret == nil {
			continue
		}
		keys = append(keys, secretKey{name: v.Secret.SecretName})
		for _, i := range v.Secret.Items {
			keys = append(keys, secretKey{v.Secret.SecretName, i.Key})
		}
	}
	for _, e := range p.main().Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			keys = append(keys, secretKey{e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key})
		}
		if v, file := p.at(e.Value); v != nil && v.Secret != nil {
			keys = append(keys, secretKey{v.Secret.SecretName, file})
		}
	}
	return keys
}

// at returns the volume that a path leads into, and the rest of the path.
func (p *pod) at(name string) (*corev1.Volume, string) {
	for _, m := range p.main().VolumeMounts {
		if rest, ok := strings.CutPrefix(name, m.MountPath+"/"); ok {
			v, _ := p.volume(m.Name)
			return v, rest
		}
	}
	return nil, ""
}

// probes wants three of them, on ports that are there, and readiness to be
// another question than liveness.
func probes(l *layout) []string {
	return l.each(func(p *pod) (found []string) {
		c := p.main()
		for name, probe := range map[string]*corev1.Probe{"liveness": c.LivenessProbe, "readiness": c.ReadinessProbe, "startup": c.StartupProbe} {
			if probe == nil {
				if name != "startup" || p.is(named("scheduler", "worker", "nats")) {
					found = append(found, "has no "+name+" probe")
				}
				continue
			}
			found = append(found, unreachable(c, name, probe)...)
		}
		if !p.is(named("scheduler", "worker")) || c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil {
			return found
		}
		if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.StartupProbe.HTTPGet.Path != "/healthz" {
			found = append(found, "asks liveness of another path than /healthz, or readiness of another than /readyz")
		}
		return found
	})
}

func unreachable(c *corev1.Container, name string, probe *corev1.Probe) (found []string) {
	switch {
	case probe.HTTPGet != nil:
		if _, ok := port(c, probe.HTTPGet.Port); !ok {
			found = append(found, name+" probe: no such port")
		}
	case probe.TCPSocket != nil:
		if _, ok := port(c, probe.TCPSocket.Port); !ok {
			found = append(found, name+" probe: no such port")
		}
	case probe.Exec == nil:
		found = append(found, name+" probe asks nothing")
	}
	return found
}

// named picks pods by their names.
func named(names ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: nameLabel, Operator: metav1.LabelSelectorOpIn, Values: names}}}
}

const nameLabel = "app.kubernetes.io/name"

// times holds each longer time against the one inside it: the queue's stop,
// all of a process's stop, the pod's grace.
func times(l *layout) []string {
	return l.each(func(p *pod) (found []string) {
		if !p.is(named("scheduler", "worker")) {
			return nil
		}
		grace := time.Duration(*p.template.Spec.TerminationGracePeriodSeconds) * time.Second
		var before time.Duration
		if h := p.main().Lifecycle; h != nil && h.PreStop != nil && h.PreStop.Sleep != nil {
			before = time.Duration(h.PreStop.Sleep.Seconds) * time.Second
		}
		c, err := p.configuration()
		if err != nil {
			return []string{err.Error()}
		}
		if c.Drain <= queue.ShutdownTimeout {
			found = append(found, fmt.Sprintf("stops within %v, though the queue's stop alone may take %v", c.Drain, queue.ShutdownTimeout))
		}
		if grace < before+c.Drain+5*time.Second {
			found = append(found, fmt.Sprintf("is killed after %v: want 5 s more than the %v before its stop and the %v that it may take", grace, before, c.Drain))
		}
		return found
	})
}

// roles are the pods that run our own binaries.
func roles() map[string]config.Role {
	return map[string]config.Role{"scheduler": config.Scheduler, "worker": config.Worker}
}

// images wants each to be named in full by the overlay, and none to be
// whatever is newest.
func images(l *layout) []string {
	return l.each(func(p *pod) []string {
		name, tag, ok := strings.Cut(path.Base(p.main().Image), ":")
		if !ok || tag == "" || tag == "latest" {
			return []string{fmt.Sprintf("image %q has no version: the overlay should say which", name)}
		}
		return nil
	})
}

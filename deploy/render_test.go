package deploy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// overlays are what an installation chooses from.
func overlays() []string { return []string{"single", "cluster"} }

// layout is an overlay as a cluster would get it.
type layout struct {
	overlay  string
	spaces   []*corev1.Namespace
	accounts map[string]*corev1.ServiceAccount
	configs  map[string]*corev1.ConfigMap
	services map[string]*corev1.Service
	pods     map[string]*pod // by the name of what makes them
	policies []*networkingv1.NetworkPolicy
	budgets  []*policyv1.PodDisruptionBudget
	scalers  []*autoscalingv2.HorizontalPodAutoscaler
}

// pod is one kind of pod, whatever makes it.
type pod struct {
	name      string
	replicas  *int32 // nil: an autoscaler says
	selector  *metav1.LabelSelector
	template  corev1.PodTemplateSpec
	service   string // of a StatefulSet
	claims    []corev1.PersistentVolumeClaim
	rollingUp *appsv1.RollingUpdateDeployment
}

// main is the pod's only container.
func (p *pod) main() *corev1.Container { return &p.template.Spec.Containers[0] }

// is tells whether a selector picks the pod; nil picks none.
func (p *pod) is(s *metav1.LabelSelector) bool {
	return s != nil && selector(s).Matches(labels.Set(p.template.Labels))
}

func selector(s *metav1.LabelSelector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// render builds an overlay.
func render(t *testing.T, overlay string) *layout {
	t.Helper()
	l, err := decode(overlay, build(t, overlay))
	must(t, err)
	return l
}

// build has kustomize write an overlay's documents.
func build(t *testing.T, overlay string) []byte {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "k8s/overlays/"+overlay)
	must(t, err)
	text, err := built.AsYaml()
	must(t, err)
	return text
}

// decode reads every document into its type; a field that the type does not
// have is an error.
func decode(overlay string, text []byte) (*layout, error) {
	l := &layout{
		overlay: overlay, accounts: map[string]*corev1.ServiceAccount{}, configs: map[string]*corev1.ConfigMap{},
		services: map[string]*corev1.Service{}, pods: map[string]*pod{},
	}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if err := l.add(doc); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, doc)
		}
	}
	return l, nil
}

func (l *layout) add(doc []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return err
	}
	switch head.APIVersion + " " + head.Kind {
	case "v1 Namespace":
		return strict(doc, func(o *corev1.Namespace) { l.spaces = append(l.spaces, o) })
	case "v1 ServiceAccount":
		return strict(doc, func(o *corev1.ServiceAccount) { l.accounts[o.Name] = o })
	case "v1 ConfigMap":
		return strict(doc, func(o *corev1.ConfigMap) { l.configs[o.Name] = o })
	case "v1 Service":
		return strict(doc, func(o *corev1.Service) { l.services[o.Name] = o })
	case "apps/v1 Deployment":
		return strict(doc, func(o *appsv1.Deployment) {
			s := o.Spec
			l.pods[o.Name] = &pod{name: o.Name, replicas: s.Replicas, selector: s.Selector, template: s.Template, rollingUp: s.Strategy.RollingUpdate}
		})
	case "apps/v1 StatefulSet":
		return strict(doc, func(o *appsv1.StatefulSet) {
			s := o.Spec
			l.pods[o.Name] = &pod{name: o.Name, replicas: s.Replicas, selector: s.Selector, template: s.Template, service: s.ServiceName, claims: s.VolumeClaimTemplates}
		})
	case "networking.k8s.io/v1 NetworkPolicy":
		return strict(doc, func(o *networkingv1.NetworkPolicy) { l.policies = append(l.policies, o) })
	case "policy/v1 PodDisruptionBudget":
		return strict(doc, func(o *policyv1.PodDisruptionBudget) { l.budgets = append(l.budgets, o) })
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return strict(doc, func(o *autoscalingv2.HorizontalPodAutoscaler) { l.scalers = append(l.scalers, o) })
	}
	return fmt.Errorf("%s %s: no check knows this kind; a Secret never belongs into the tree", head.APIVersion, head.Kind)
}

// strict decodes one document and keeps it, if it is in the one namespace.
func strict[T any, P interface {
	*T
	metav1.Object
}](doc []byte, keep func(P)) error {
	o := P(new(T))
	if err := yaml.UnmarshalStrict(doc, o); err != nil {
		return err
	}
	if ns := o.GetNamespace(); ns != namespace && !(ns == "" && o.GetName() == namespace) {
		return fmt.Errorf("%s is in namespace %q, not in %s", o.GetName(), ns, namespace)
	}
	keep(o)
	return nil
}

const namespace = "carillon"

// names returns the names of all pods, sorted.
func (l *layout) names() []string { return slices.Sorted(maps.Keys(l.pods)) }

// check is one thing that must hold of every layout. It returns a line for
// each place where it does not.
type check struct {
	name string
	find func(*layout) []string
}

func checks() []check {
	return []check{
		{"security", insecure}, {"volumes", loose}, {"settings", unknownSettings}, {"probes", probes}, {"times", times},
		{"memory", memory}, {"services", services}, {"arrows", arrows}, {"rules", deadRules}, {"budgets", budgets},
		{"spread", spread}, {"scaling", scaling}, {"images", images},
	}
}

func TestOverlays(t *testing.T) {
	for _, overlay := range overlays() {
		l := render(t, overlay)
		if len(l.pods) < 4 {
			t.Errorf("%s: only %v were found", overlay, l.names())
		}
		for _, c := range checks() {
			for _, found := range c.find(l) {
				t.Errorf("%s, %s: %s", overlay, c.name, found)
			}
		}
	}
}

// A field that does not exist must not pass: clusters drop it silently, and
// whoever wrote it believes in it.
func TestDecodeIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: carillon}\nspec: {port: 1}\n":          `unknown field "port"`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: carillon}\nspec: {}\nspec: {}\n":       "already set",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n":                                                `namespace ""`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n":                                  `namespace "b"`,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: carillon}\n":                            "Secret",
		"apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a, namespace: carillon}\n":        "no check knows this kind",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: carillon}\nspec: {ports: [{port: x}]}": "cannot unmarshal",
	} {
		if _, err := decode("made up", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

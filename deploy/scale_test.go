package deploy

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"os"

	"github.com/carillon-dev/carillon/internal/lane"
)

// least is how many pods of a kind there are at least.
func (l *layout) least(p *pod) int32 {
	for _, s := range l.scalers {
		if s.Spec.ScaleTargetRef.Name == p.name && s.Spec.MinReplicas != nil {
			return *s.Spec.MinReplicas
		}
	}
	if p.replicas == nil {
		return 1
	}
	return *p.replicas
}

// budgets wants one for everything that there are several of, which lets a
// drain go on and leaves a quorum where one is needed; and none where the only
// pod would block every drain.
func budgets(l *layout) (found []string) {
	for _, b := range l.budgets {
		if len(l.picked(b.Spec.Selector)) != 1 {
			found = append(found, "budget "+b.Name+" is not about one kind of pod")
		}
	}
	return append(found, l.each(func(p *pod) (found []string) {
		n, of := l.least(p), 0
		for _, b := range l.budgets {
			if !p.is(b.Spec.Selector) {
				continue
			}
			of++
			if b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.Type != intstr.Int || b.Spec.MaxUnavailable.IntVal < 1 {
				found = append(found, "its budget may block every drain: want maxUnavailable of 1 or more")
			} else if gone := b.Spec.MaxUnavailable.IntVal; gone >= n || p.service != "" && 2*(n-gone) <= n {
				found = append(found, fmt.Sprintf("its budget lets %d of %d go", gone, n))
			}
		}
		if want := map[bool]int{true: 1}[n > 1]; of != want {
			found = append(found, fmt.Sprintf("has %d budgets for %d pods, want %d", of, n, want))
		}
		if u := p.rollingUp; p.service == "" && (u == nil || u.MaxUnavailable == nil || u.MaxUnavailable.String() != "0") {
			found = append(found, "a roll-out may take away what serves: want maxUnavailable 0")
		}
		return found
	})...)
}

// spread wants several pods of a kind on nodes of their own, and in zones of
// their own where there are zones: strictly where a majority counts.
func spread(l *layout) []string {
	return l.each(func(p *pod) (found []string) {
		if l.least(p) < 2 {
			return nil
		}
		a := p.template.Spec.Affinity
		if a == nil || a.PodAntiAffinity == nil {
			return []string{"nothing keeps its pods off one node"}
		}
		apart := a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		for _, w := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			if p.service == "" { // of a quorum a wish is not enough
				apart = append(apart, w.PodAffinityTerm)
			}
		}
		if !slices.ContainsFunc(apart, func(t corev1.PodAffinityTerm) bool {
			return t.TopologyKey == corev1.LabelHostname && p.is(t.LabelSelector)
		}) {
			found = append(found, "nothing keeps its pods off one node")
		}
		if !slices.ContainsFunc(p.template.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
			// DoNotSchedule would leave a cluster without zones empty.
			return c.TopologyKey == corev1.LabelTopologyZone && c.WhenUnsatisfiable == corev1.ScheduleAnyway && p.is(c.LabelSelector)
		}) {
			found = append(found, "nothing spreads its pods over zones")
		}
		return found
	})
}

// scaling holds the autoscaler against what it scales and against the rule
// that gives it its metric.
func scaling(l *layout) (found []string) {
	served, err := servedMetrics()
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range l.scalers {
		p := l.pods[s.Spec.ScaleTargetRef.Name]
		if p == nil || p.service != "" || s.Spec.ScaleTargetRef.Kind != "Deployment" {
			found = append(found, s.Name+" scales nothing that is there")
			continue
		}
		if p.replicas != nil {
			found = append(found, s.Name+": every apply would set the number of pods back: leave replicas out")
		}
		if len(s.Spec.Metrics) != 1 || s.Spec.Metrics[0].External == nil || s.Spec.Metrics[0].External.Target.Value == nil {
			found = append(found, s.Name+" does not go by the value of one metric from outside")
			continue
		}
		m := s.Spec.Metrics[0].External
		if !slices.Contains(served, m.Metric.Name) {
			found = append(found, fmt.Sprintf("%s goes by %s, and the adapter's rules serve %v", s.Name, m.Metric.Name, served))
		}
		if age := m.Target.Value.AsApproximateFloat64(); age < lane.Horizon.Seconds() {
			found = append(found, fmt.Sprintf("%s adds workers at %v s, which jobs wait though all is well", s.Name, age))
		}
		if b := s.Spec.Behavior; b == nil || *b.ScaleUp.StabilizationWindowSeconds >= *b.ScaleDown.StabilizationWindowSeconds {
			found = append(found, s.Name+" does not add workers sooner than it takes them away")
		}
	}
	return found
}

// servedMetrics are the names that the adapter's rules give.
func servedMetrics() (names []string, err error) {
	b, err := os.ReadFile("k8s/metrics/prometheus-adapter.yaml")
	if err != nil {
		return nil, err
	}
	var values struct {
		Rules struct {
			External []struct {
				SeriesQuery  string `json:"seriesQuery"`
				MetricsQuery string `json:"metricsQuery"`
				Resources    any    `json:"resources"`
				Name         struct {
					As string `json:"as"`
				} `json:"name"`
			} `json:"external"`
		} `json:"rules"`
	}
	err = yaml.UnmarshalStrict(b, &values)
	for _, r := range values.Rules.External {
		names = append(names, r.Name.As)
	}
	return names, err
}

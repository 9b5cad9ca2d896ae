// Reads rendered manifests from stdin, and asks those who know: Kubernetes's own Pod Security about every pod, KEDA's own
// types and validation about every ScaledObject.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/expr-lang/expr"
	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	strict "sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(manifests io.Reader) error {
	security, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	reader := yaml.NewYAMLOrJSONDecoder(manifests, 1<<20)
	for {
		var raw runtime.RawExtension
		if err := reader.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var kind meta.PartialObjectMetadata
		if err := strict.Unmarshal(raw.Raw, &kind); err != nil {
			return err
		}
		name := kind.Kind + " " + kind.Name
		switch kind.Kind {
		case "Deployment", "StatefulSet":
			// Both have their pod at the same place.
			var workload apps.Deployment
			if err := strict.Unmarshal(raw.Raw, &workload); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := restricted(security, &workload.Spec.Template); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case "ScaledObject":
			if err := scales(raw.Raw); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		default:
			continue
		}
		fmt.Println("    " + name)
	}
}

// restricted asks whether the level of this name would let the pod in.
func restricted(security policy.Evaluator, pod *core.PodTemplateSpec) error {
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(security.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if !result.Allowed {
		return fmt.Errorf("not restricted: %s", result.ForbiddenDetail())
	}
	return nil
}

// scales runs the formula as KEDA does: with all tenants' consumers there, with some missing, with none that answers.
func scales(raw []byte) error {
	var scaled keda.ScaledObject
	if err := strict.UnmarshalStrict(raw, &scaled); err != nil {
		return err
	}
	formula, err := keda.ValidateAndCompileScalingModifiers(&scaled)
	if err != nil {
		return err
	}
	if err := keda.ValidateTriggers(scaled.Spec.Triggers); err != nil {
		return err
	}
	all, some, none := map[string]any{}, map[string]any{}, map[string]any{}
	for i, trigger := range scaled.Spec.Triggers {
		all[trigger.Name], some[trigger.Name], none[trigger.Name] = 10.0, nil, nil
		if i == 0 {
			some[trigger.Name] = 10.0
		}
	}
	for _, it := range []struct{ given, want any }{
		{all, 10.0 * float64(len(scaled.Spec.Triggers))}, {some, 10.0}, {none, nil},
	} {
		got, err := expr.Run(formula, it.given)
		if err != nil {
			return fmt.Errorf("%v: %w", it.given, err)
		}
		if got != it.want {
			return fmt.Errorf("%v gives %v, %v was expected", it.given, got, it.want)
		}
	}
	return nil
}

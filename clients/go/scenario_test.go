package assay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/internal/testserver"
)

// scenario is clients/scenario.json, which every client and the command line carry out. Paths are relative to it.
type scenario struct {
	Model, Cases  string
	Checks, Gates []string
	Seed, Limit   uint64
}

// TestTheScenarioGivesTheVerdictsOfTheCommandLine also leaves target/scenario/go.jsonl, to be compared with Python's.
func TestTheScenarioGivesTheVerdictsOfTheCommandLine(t *testing.T) {
	folder := testserver.Path("clients")
	var s scenario
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(folder, "scenario.json"))), &s); err != nil {
		t.Fatal(err)
	}
	s.Model, s.Cases = filepath.Join(folder, s.Model), filepath.Join(folder, s.Cases)
	ours, theirs := fromClient(t, s), fromCommandLine(t, s)
	if !bytes.Equal(ours, theirs) {
		t.Errorf("the client gives\n%s\nthe command line gives\n%s", ours, theirs)
	}
	out := testserver.Path("target", "scenario")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "go.jsonl"), ours, 0o644); err != nil {
		t.Fatal(err)
	}
}

func fromClient(t *testing.T, s scenario) []byte {
	client, ctx := connect(t, testserver.Start(t).Address()), t.Context()
	model := must[*assay.Model](t)(client.UploadModelFile(ctx, s.Model, ""))
	cases := must[[]*assay.Case](t)(assay.ReadNPZ(s.Cases))
	suite := must[*assay.Suite](t)(client.UploadSuite(ctx, assay.SuiteUpload{Cases: assay.Cases(cases)}))
	job := must[*assay.Job](t)(client.CreateJob(ctx, assay.JobRequest{
		Model: model.GetName(), Suite: suite.GetName(), Checks: s.Checks, Gates: s.Gates, Seed: s.Seed, Limit: s.Limit,
	}))
	verdicts := collect(t, ctx, client, job.GetName())
	slices.SortStableFunc(verdicts, func(a, b *assay.Verdict) int {
		if a.GetCaseIndex() != b.GetCaseIndex() {
			return int(a.GetCaseIndex()) - int(b.GetCaseIndex())
		}
		return int(a.GetCheckIndex()) - int(b.GetCheckIndex())
	})
	var lines canonicalLines
	for _, v := range verdicts {
		lines.add(t, map[string]any{
			"case": v.GetCaseId(), "check": v.GetCheck(), "name": v.GetProbe(), "params": v.GetParams().AsMap(),
			"outcome": word(v.GetOutcome().String(), "OUTCOME_"), "label": number(v.Label),
			"predicted_clean": number(v.PredictedClean), "predicted": number(v.Predicted),
			"measures": v.GetMeasures(), "seed": v.GetSeed(),
		})
	}
	report := must[*assay.Report](t)(client.GetReport(ctx, job.GetName()))
	for _, gate := range report.GetGates() {
		lines.add(t, map[string]any{
			"gate": gate.GetGate(), "outcome": word(gate.GetOutcome().String(), "GATE_OUTCOME_"), "passed": gate.GetPassed(),
			"value": gate.GetMetric().GetValue(), "low": gate.GetMetric().GetLow(), "high": gate.GetMetric().GetHigh(),
		})
	}
	lines.add(t, map[string]any{"verdict": report.GetVerdict()})
	return lines.Bytes()
}

func word(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}

func number(value *float64) any {
	if value == nil {
		return nil
	}
	return *value
}

func fromCommandLine(t *testing.T, s scenario) []byte {
	arguments := []string{"run", "--model", s.Model, "--cases", s.Cases, "--output", "jsonl"}
	for _, check := range s.Checks {
		arguments = append(arguments, "--check", check)
	}
	for _, gate := range s.Gates {
		arguments = append(arguments, "--gate", gate)
	}
	arguments = append(arguments, "--seed", strconv.FormatUint(s.Seed, 10), "--limit", strconv.FormatUint(s.Limit, 10))
	output, err := exec.Command(testserver.Binary(t), arguments...).Output()
	// A gate that fails is an answer too.
	if failed := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &failed) && failed.ExitCode() == 1) {
		t.Fatal(err, string(failed.Stderr))
	}
	var lines canonicalLines
	for line := range bytes.Lines(output) {
		var verdict map[string]any
		if err := json.Unmarshal(line, &verdict); err != nil {
			t.Fatal(err)
		}
		report, last := verdict["report"].(map[string]any)
		if !last {
			lines.add(t, verdict)
			continue
		}
		for _, gate := range report["gates"].([]any) {
			gate := gate.(map[string]any)
			metric := gate["metric"].(map[string]any)
			lines.add(t, map[string]any{
				"gate": gate["gate"], "outcome": strings.ToLower(gate["outcome"].(string)), "passed": gate["passed"],
				"value": metric["value"], "low": metric["low"], "high": metric["high"],
			})
		}
		lines.add(t, map[string]any{"verdict": report["verdict"]})
	}
	return lines.Bytes()
}

// canonicalLines are JSON with sorted names and without blanks, a line each. Numbers are the bits of a double in
// hexadecimal, since languages write them in ways of their own.
type canonicalLines struct{ bytes.Buffer }

func (l *canonicalLines) add(t *testing.T, line map[string]any) {
	encoder := json.NewEncoder(l)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(canonical(line)); err != nil {
		t.Fatal(err)
	}
}

func canonical(value any) any {
	switch value := value.(type) {
	case map[string]float64:
		entries := map[string]any{}
		for name, number := range value {
			entries[name] = canonical(number)
		}
		return entries
	case map[string]any:
		entries := maps.Clone(value)
		for name, entry := range entries {
			entries[name] = canonical(entry)
		}
		return entries
	case []any:
		entries := slices.Clone(value)
		for i, entry := range entries {
			entries[i] = canonical(entry)
		}
		return entries
	case uint64:
		return canonical(float64(value))
	case float64:
		return fmt.Sprintf("%016x", math.Float64bits(value))
	}
	return value
}

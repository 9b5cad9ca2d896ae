package assay_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/internal/testserver"
)

var (
	modelPath  = testserver.Path("tests", "models", "mnist_cnn.onnx")
	digitsPath = testserver.Path("tests", "data", "mnist_test.npz")
)

func connect(t *testing.T, address string) *assay.Client {
	t.Helper()
	client, err := assay.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// must gives the value, or ends the test.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// digits uploads the network and the first handwritten digits, and gives what a job on them asks for.
func digits(t *testing.T, client *assay.Client, count int, checks ...string) assay.JobRequest {
	t.Helper()
	model := must[*assay.Model](t)(client.UploadModelFile(t.Context(), modelPath, ""))
	cases := must[[]*assay.Case](t)(assay.ReadNPZ(digitsPath))[:count]
	upload := assay.SuiteUpload{Cases: assay.Cases(cases), Count: uint64(count), Name: "digits"}
	suite := must[*assay.Suite](t)(client.UploadSuite(t.Context(), upload))
	return assay.JobRequest{Model: model.GetName(), Suite: suite.GetName(), Checks: checks}
}

func collect(t *testing.T, ctx context.Context, client *assay.Client, job string) []*assay.Verdict {
	t.Helper()
	var verdicts []*assay.Verdict
	for verdict, err := range client.Verdicts(ctx, job) {
		if err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts
}

func TestAModelAndASuiteAreUploadedOnceAndFound(t *testing.T) {
	client, ctx := connect(t, testserver.Start(t).Address()), t.Context()
	request := digits(t, client, 1500, "clean")
	file := must[[]byte](t)(os.ReadFile(modelPath))
	digest := sha256.Sum256(file)
	model := must[*assay.Model](t)(client.GetModel(ctx, request.Model))
	if model.GetSha256() != hex.EncodeToString(digest[:]) || model.GetDisplayName() != "mnist_cnn.onnx" {
		t.Errorf("the model is %v", model)
	}
	upload := assay.ModelUpload{ONNX: bytes.NewReader(file), Size: int64(len(file))}
	if again := must[*assay.Model](t)(client.UploadModel(ctx, upload)); again.GetName() != model.GetName() {
		t.Errorf("the same file became %s and %s", model.GetName(), again.GetName())
	}
	upload.Signature = "input: {range: [0, 1]}"
	if other := must[*assay.Model](t)(client.UploadModel(ctx, upload)); other.GetName() == model.GetName() {
		t.Error("another signature is the same model")
	}
	count := 0
	for _, err := range client.Models(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	suite := must[*assay.Suite](t)(client.GetSuite(ctx, request.Suite))
	if count != 2 || suite.GetCaseCount() != 1500 || suite.GetDisplayName() != "digits" {
		t.Errorf("%d models, suite %v", count, suite)
	}
	inspection := must[*assay.Inspection](t)(client.InspectModel(ctx, request.Model))
	if inspection.GetOperators()["Conv"] == 0 || inspection.GetParameterCount() < 1000 {
		t.Errorf("the model has %v", inspection)
	}
	if err := client.DeleteModel(ctx, request.Model); err != nil {
		t.Error(err)
	}
	if _, err := client.GetModel(ctx, request.Model); !errors.Is(err, assay.ErrNotFound) {
		t.Errorf("a deleted model gives %v", err)
	}
}

func TestAJobGivesEveryVerdictAReportAndReplays(t *testing.T) {
	client, ctx := connect(t, testserver.Start(t).Address()), t.Context()
	request := digits(t, client, 60, "clean", "gaussian_noise:severity=3")
	request.Gates, request.Seed, request.Artifacts = []string{"clean.accuracy >= 0.8"}, 7, true
	planned := must[*assay.Job](t)(client.ValidateJob(ctx, request))
	if planned.GetName() != "" || planned.GetProgress().GetVerdictsTotal() != 120 || planned.GetEstimate() == nil {
		t.Errorf("planned %v", planned)
	}
	job := must[*assay.Job](t)(client.CreateJob(ctx, request))
	if ended := must[*assay.Job](t)(client.Wait(ctx, job.GetName())); ended.GetState() != assay.JobSucceeded {
		t.Errorf("the job ended as %v", ended.GetState())
	}
	verdicts := collect(t, ctx, client, job.GetName())
	held := uint64(0)
	for _, verdict := range verdicts {
		if (verdict.GetOutcome() == assay.Held) != (verdict.GetLabel() == verdict.GetPredicted()) {
			t.Errorf("wrong outcome: %v", verdict)
		}
		if verdict.GetOutcome() == assay.Held {
			held++
		}
	}
	report := must[*assay.Report](t)(client.GetReport(ctx, job.GetName()))
	if len(verdicts) != 120 || report.GetCounts()["held"] != held || report.GetVerdict() != "pass" {
		t.Errorf("%d verdicts, %d held, the report has %v, %s", len(verdicts), held, report.GetCounts(), report.GetVerdict())
	}
	replay := must[*assay.Replay](t)(client.ReplayCase(ctx, job.GetName(), "5", "gaussian_noise"))
	if !replay.GetIdentical() || len(replay.GetVerdicts()) != 1 {
		t.Errorf("the replay gave %v", replay)
	}
	for _, artifact := range must[[]*assay.Artifact](t)(client.Artifacts(ctx, job.GetName())) {
		var data bytes.Buffer
		if err := client.ReadArtifact(ctx, artifact, &data); err != nil || uint64(data.Len()) != artifact.GetSizeBytes() {
			t.Errorf("%s has %d bytes, %d came: %v", artifact.GetName(), artifact.GetSizeBytes(), data.Len(), err)
		}
	}
	if err := client.DeleteJob(ctx, job.GetName()); err != nil {
		t.Error(err)
	}
}

func TestTheServerSaysWhatItIs(t *testing.T) {
	client, ctx := connect(t, "http://"+testserver.Start(t).Address()+"/"), t.Context()
	probes := must[[]*assay.Probe](t)(client.Catalog(ctx, "corruption"))
	probe := must[*assay.Probe](t)(client.Probe(ctx, "motion_blur"))
	if len(probes) < 19 || probe.GetFamily() != "corruption" {
		t.Errorf("%d corruptions, motion_blur is %v", len(probes), probe)
	}
	info := must[*assay.ServerInfo](t)(client.ServerInfo(ctx))
	if info.GetSlots() != 2 || info.GetLimits()["model_bytes"] == 0 {
		t.Errorf("the server is %v", info)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	client, ctx := connect(t, testserver.Start(t).Address()), t.Context()
	request := digits(t, client, 3, "clean", "gausian_noise")
	_, err := client.CreateJob(ctx, request)
	var wrong *assay.Error
	if !errors.As(err, &wrong) || !errors.Is(err, assay.ErrInvalidRequest) || errors.Is(err, assay.ErrNotFound) {
		t.Fatalf("a wrong check gives %v", err)
	}
	if len(wrong.Violations) != 1 || wrong.Violations[0].Field != "checks[1].name" {
		t.Errorf("the violations are %v", wrong.Violations)
	}
	if wrapped := fmt.Errorf("judging: %w", err); status.Code(wrapped) != codes.InvalidArgument {
		t.Errorf("the code of %v is %v", wrapped, status.Code(wrapped))
	}
	request.Checks, request.RequestID = []string{"clean"}, "nightly"
	first := must[*assay.Job](t)(client.CreateJob(ctx, request))
	if again := must[*assay.Job](t)(client.CreateJob(ctx, request)); again.GetName() != first.GetName() {
		t.Error("the same request made two jobs")
	}
	request.Seed = 1
	if _, err := client.CreateJob(ctx, request); !errors.Is(err, assay.ErrAlreadyExists) {
		t.Errorf("the key of another job gives %v", err)
	}
	if _, err := client.UploadModelFile(ctx, "nowhere.onnx", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file gives %v", err)
	}
	if _, err := client.Wait(ctx, "tenants/local/jobs/0123"); !errors.Is(err, assay.ErrNotFound) {
		t.Errorf("no job gives %v", err)
	}
	twice := []*assay.Case{{Id: "a", Inputs: caseInputs()}, {Id: "a", Inputs: caseInputs()}}
	_, err = client.UploadSuite(ctx, assay.SuiteUpload{Cases: assay.Cases(twice)})
	if !errors.As(err, &wrong) || wrong.Violations[0].Field != "cases[1].id" {
		t.Errorf("an id that comes twice gives %v", err)
	}
}

func TestLimitsSayWhichAndWhenToTryAgain(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("[limits]\nqueued_shards = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := connect(t, testserver.Start(t, "--config", config).Address())
	client.Retry.Attempts = 1
	_, err := client.CreateJob(t.Context(), digits(t, client, 1500, "clean", "brightness"))
	var full *assay.Error
	if !errors.As(err, &full) || !errors.Is(err, assay.ErrResourceExhausted) {
		t.Fatalf("too large a job gives %v", err)
	}
	if full.Reason != "LIMIT" || full.Metadata["limit"] != "queued_shards" || full.RetryAfter != 5*time.Second {
		t.Errorf("the details are %q, %v, %v", full.Reason, full.Metadata, full.RetryAfter)
	}
}

func TestNobodyAnswers(t *testing.T) {
	client := connect(t, "127.0.0.1:1")
	client.Retry.Attempts = 3
	if _, err := client.ServerInfo(t.Context()); !errors.Is(err, assay.ErrUnavailable) {
		t.Errorf("no server gives %v", err)
	}
}

func caseInputs() map[string]*assay.Value {
	return map[string]*assay.Value{"x": assay.Array(make([]float32, 4), 2, 2)}
}

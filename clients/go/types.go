package assay

import "github.com/assay-ml/assay/clients/go/assayv1"

// Messages of the contract under the names that callers use. Package assayv1 has the rest.
type (
	// Model is an uploaded ONNX file, or a model elsewhere, with the signature under which it is judged.
	Model = assayv1.Model
	// RemoteModel says where a model is that a server of the Open Inference Protocol has.
	RemoteModel = assayv1.RemoteModel
	// Inspection is what a model's graph holds.
	Inspection = assayv1.InspectModelResponse
	// Suite is an uploaded set of cases with its default checks and gates.
	Suite = assayv1.Suite
	// Case is one sample with what is expected of the model.
	Case = assayv1.Case
	// Value is one input of a case, made by Array or Image.
	Value = assayv1.Value
	// Job is a job as it was when it was asked for.
	Job = assayv1.Job
	// Verdict is one case under one point of one check.
	Verdict = assayv1.Verdict
	// Message is one message of a job's stream: verdicts, a finding, progress, a heartbeat, or that it is done.
	Message = assayv1.StreamResultsResponse
	// Replay is a case judged again.
	Replay = assayv1.ReplayCaseResponse
	// Report is metrics and gates over a job's verdicts.
	Report = assayv1.Report
	// Artifact is an array that a job kept.
	Artifact = assayv1.Artifact
	// Probe is a member of a family of probes, with its manual.
	Probe = assayv1.Probe
	// ServerInfo is what a server can do.
	ServerInfo = assayv1.ServerInfo
)

// Outcomes of a verdict.
const (
	Held    = assayv1.Outcome_OUTCOME_HELD
	Broken  = assayv1.Outcome_OUTCOME_BROKEN
	Skipped = assayv1.Outcome_OUTCOME_SKIPPED
	Failed  = assayv1.Outcome_OUTCOME_FAILED
)

// States of a job.
const (
	JobRunning   = assayv1.JobState_JOB_STATE_RUNNING
	JobSucceeded = assayv1.JobState_JOB_STATE_SUCCEEDED
	JobCancelled = assayv1.JobState_JOB_STATE_CANCELLED
	// JobFailed is finished, but some verdicts are Failed.
	JobFailed = assayv1.JobState_JOB_STATE_FAILED
)

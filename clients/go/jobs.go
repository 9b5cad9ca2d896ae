package assay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"google.golang.org/grpc/codes"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// JobRequest is what a job is asked for.
type JobRequest struct {
	// Model and Suite are names of resources on the server.
	Model, Suite string
	// Checks such as `gaussian_noise:severity=3`, and Gates such as `clean.accuracy >= 0.7`. The suite's own if empty.
	Checks, Gates []string
	// Seed of all randomness. The same seed gives the same verdicts.
	Seed uint64
	// Limit leaves out all but the first cases; 0 means all.
	Limit uint64
	// References are names of other suites by role, such as `background`.
	References map[string]string
	// Baseline is the name of a finished job that gates compare with; it may be empty.
	Baseline string
	// Artifacts says whether probed inputs are kept, for ReadArtifact.
	Artifacts bool
	// Pool says whose workers do it, on a service that has several kinds; empty for the default one.
	Pool string
	// RequestID is a key of this request: the same key gives the same job. A fresh one if it is empty, so that the
	// client's own retries make no second job.
	RequestID string
}

func (r JobRequest) message() *assayv1.CreateJobRequest {
	spec := &assayv1.JobSpec{
		Subject:    &assayv1.Subject{Subject: &assayv1.Subject_Model{Model: r.Model}},
		Suite:      r.Suite,
		Checks:     checks(r.Checks),
		Gates:      r.Gates,
		Seed:       r.Seed,
		Limit:      r.Limit,
		References: r.References,
		Baseline:   r.Baseline,
		Artifacts:  r.Artifacts,
		Pool:       r.Pool,
	}
	id := r.RequestID
	if id == "" {
		id = rand.Text()
	}
	return &assayv1.CreateJobRequest{Spec: spec, RequestId: id}
}

// CreateJob starts a job.
func (c *Client) CreateJob(ctx context.Context, request JobRequest) (*Job, error) {
	return call(ctx, c, c.jobs.CreateJob, request.message())
}

// ValidateJob says whether CreateJob would take this, and in Job.Progress and Job.Estimate how much work it is. It starts
// nothing.
func (c *Client) ValidateJob(ctx context.Context, request JobRequest) (*Job, error) {
	message := request.message()
	message.ValidateOnly = true
	return call(ctx, c, c.jobs.CreateJob, message)
}

// GetJob gives a job with its state and progress.
func (c *Client) GetJob(ctx context.Context, name string) (*Job, error) {
	return call(ctx, c, c.jobs.GetJob, &assayv1.GetJobRequest{Name: name})
}

// Jobs lists all jobs, asked for page by page. An error ends the sequence.
func (c *Client) Jobs(ctx context.Context) iter.Seq2[*Job, error] {
	return pages(func(token string) ([]*Job, string, error) {
		page, err := call(ctx, c, c.jobs.ListJobs, &assayv1.ListJobsRequest{PageToken: token})
		return page.GetJobs(), page.GetNextPageToken(), err
	})
}

// CancelJob ends a job early; what is judged stays. An ended job is left as it is.
func (c *Client) CancelJob(ctx context.Context, name string) (*Job, error) {
	return call(ctx, c, c.jobs.CancelJob, &assayv1.CancelJobRequest{Name: name})
}

// DeleteJob forgets a job, its verdicts and its artifacts.
func (c *Client) DeleteJob(ctx context.Context, name string) error {
	return remove(ctx, c, c.jobs.DeleteJob, &assayv1.DeleteJobRequest{Name: name})
}

// GetReport gives metrics and gates over the verdicts that are there now.
func (c *Client) GetReport(ctx context.Context, job string) (*Report, error) {
	return call(ctx, c, c.jobs.GetReport, &assayv1.GetReportRequest{Name: job})
}

// ReplayCase judges one case again as the job did, and says whether the job's verdicts are the same to the bit.
//
// The check is a SPEC of the job, or a name that is unique; it may be empty if the job has one check.
func (c *Client) ReplayCase(ctx context.Context, job, caseID, check string) (*Replay, error) {
	return call(ctx, c, c.jobs.ReplayCase, &assayv1.ReplayCaseRequest{Name: job, CaseId: caseID, Check: check})
}

// Artifacts lists what a job kept so far; nothing unless it was asked for Artifacts.
func (c *Client) Artifacts(ctx context.Context, job string) ([]*Artifact, error) {
	answer, err := call(ctx, c, c.jobs.ListArtifacts, &assayv1.ListArtifactsRequest{Name: job})
	return answer.GetArtifacts(), err
}

// ReadArtifact writes the little-endian bytes of an artifact, in row-major order, cases first. A broken connection goes on
// where it broke. Bytes that do not have the artifact's digest end with ErrDataLoss, after they were written.
func (c *Client) ReadArtifact(ctx context.Context, artifact *Artifact, to io.Writer) error {
	digest, offset := sha256.New(), uint64(0)
	for t := (tries{client: c}); ; {
		n, failed, err := c.copyArtifact(ctx, artifact.GetName(), offset, io.MultiWriter(to, digest))
		if err != nil {
			return err
		}
		if offset += n; failed == nil {
			break
		}
		if n > 0 {
			t.failures = 0
		}
		if err := t.next(ctx, failed); err != nil {
			return err
		}
	}
	if found := hex.EncodeToString(digest.Sum(nil)); found != artifact.GetSha256() {
		message := fmt.Sprintf("%s came with the SHA-256 %s, %s was expected", artifact.GetName(), found, artifact.GetSha256())
		return &Error{Code: codes.DataLoss, Message: message}
	}
	return nil
}

// copyArtifact reads from an offset on, and says how much it wrote, how the call failed, and how the writer did.
func (c *Client) copyArtifact(
	ctx context.Context, name string, offset uint64, to io.Writer,
) (written uint64, failed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, failed := c.jobs.ReadArtifact(ctx, &assayv1.ReadArtifactRequest{Name: name, Offset: offset})
	for failed == nil {
		piece, lost := stream.Recv()
		if lost == io.EOF {
			return written, nil, nil
		}
		if failed = lost; failed == nil {
			n, err := to.Write(piece.GetData())
			if written += uint64(n); err != nil {
				return written, nil, err
			}
		}
	}
	return written, failed, nil
}

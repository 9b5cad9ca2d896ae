package assay

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// Verdicts follows a job: its verdicts as they come, each exactly once, until the job has ended.
//
// A broken connection or a restart of the server goes unnoticed: the stream is opened again after the last message that
// came, until it has been down for Retry.Patience. An error ends the sequence. Leaving the loop does not end the job;
// CancelJob does. Every range over the sequence begins at the job's first verdict.
func (c *Client) Verdicts(ctx context.Context, job string) iter.Seq2[*Verdict, error] {
	return func(yield func(*Verdict, error) bool) {
		for message, err := range c.Follow(ctx, job, "") {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, verdict := range message.GetVerdicts().GetVerdicts() {
				if !yield(verdict, nil) {
					return
				}
			}
		}
	}
}

// Wait waits for the end of a job, and gives the job as it then is.
func (c *Client) Wait(ctx context.Context, job string) (*Job, error) {
	for _, err := range c.Follow(ctx, job, "") {
		if err != nil {
			return nil, err
		}
	}
	return c.GetJob(ctx, job)
}

// Follow is the stream that Verdicts reads, message by message: verdicts in batches, findings and progress. It begins
// after the message with this resume token, or at the job's beginning if the token is empty; the last message is `done`.
func (c *Client) Follow(ctx context.Context, job, resumeToken string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		f := follower{client: c, request: &assayv1.StreamResultsRequest{Name: job, ResumeToken: resumeToken}}
		for {
			more, failed := f.once(ctx, yield)
			if !more {
				return
			}
			if err := f.lost(ctx, failed); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// follower is where the reader of a job's stream is.
type follower struct {
	client *Client
	// request asks for what has not come yet.
	request  *assayv1.StreamResultsRequest
	failures int
	// down is when the first failure in a row was met.
	down time.Time
}

// once reads one stream. It gives false if the job or the reader is done, and true with an error if the stream broke.
func (f *follower) once(ctx context.Context, yield func(*Message, error) bool) (bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := f.client.Retry.Silence
	// Only waiting counts: the reader may take its time over a message.
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	stream, err := f.client.jobs.StreamResults(ctx, f.request)
	for err == nil {
		watch.Reset(silence)
		message := (*Message)(nil)
		if message, err = stream.Recv(); err != nil {
			break
		}
		watch.Stop()
		if token := message.GetResumeToken(); token != f.request.GetResumeToken() {
			f.request.ResumeToken, f.failures = token, 0
		}
		if !yield(message, nil) || message.GetDone() != nil {
			return false, nil
		}
	}
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return true, errSilent
	case errors.Is(err, io.EOF):
		return true, errCut
	}
	return true, err
}

var (
	errSilent = &Error{Code: codes.Unavailable, Message: "the stream fell silent"}
	errCut    = &Error{Code: codes.Unavailable, Message: "the stream ended early"}
)

// lost waits for the next try, or gives the error if it is an answer, or patience is over.
func (f *follower) lost(ctx context.Context, failed error) error {
	e := fromRPC(ctx, failed)
	if f.failures++; f.failures == 1 {
		f.down = time.Now()
	}
	if ctx.Err() != nil || !e.isPassing() || time.Since(f.down) > f.client.Retry.Patience {
		return e
	}
	return f.client.pause(ctx, f.client.Retry.delay(f.failures, e))
}

package assay

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

const (
	// batchEnvelope is what a message of cases has beside its cases, and caseEnvelope what a case costs in it besides
	// itself, in bytes, at most.
	batchEnvelope = 16
	caseEnvelope  = 6
)

// SuiteUpload is a suite on its way.
type SuiteUpload struct {
	// Cases are made while they are sent, and anew for every try, as a broken upload begins again: a sequence that can
	// be had only once fails then. An error in it ends the upload.
	Cases iter.Seq2[*Case, error]
	// Count makes the upload fail unless this many cases came; 0 takes any number.
	Count uint64
	// Name is for display; it may be empty.
	Name string
	// Checks and Gates are those of jobs that name none of their own.
	Checks, Gates []string
}

// UploadSuite uploads cases. The same cases with the same checks and gates are the same suite.
func (c *Client) UploadSuite(ctx context.Context, upload SuiteUpload) (*Suite, error) {
	header := &assayv1.UploadSuiteHeader{
		DisplayName: upload.Name,
		Checks:      checks(upload.Checks),
		Gates:       upload.Gates,
		CaseCount:   upload.Count,
	}
	for t := (tries{client: c}); ; {
		suite, failed := c.sendSuite(ctx, header, upload.Cases)
		if failed == nil {
			return suite, nil
		}
		if err := t.next(ctx, failed); err != nil {
			return nil, err
		}
	}
}

// sendSuite sends the header, then as many cases a message as fit into a chunk, at least one.
func (c *Client) sendSuite(
	ctx context.Context, header *assayv1.UploadSuiteHeader, cases iter.Seq2[*Case, error],
) (*Suite, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.suites.UploadSuite(ctx)
	if err != nil {
		return nil, err
	}
	// A failed Send says no more than that the call has ended: CloseAndRecv says how.
	sending := stream.Send(&assayv1.UploadSuiteRequest{Message: &assayv1.UploadSuiteRequest_Header{Header: header}})
	batch, size := &assayv1.CaseBatch{}, batchEnvelope
	send := func() {
		sending = stream.Send(&assayv1.UploadSuiteRequest{Message: &assayv1.UploadSuiteRequest_Cases{Cases: batch}})
		batch, size = &assayv1.CaseBatch{}, batchEnvelope
	}
	for next, err := range cases {
		if err != nil {
			return nil, invalid("cases", err.Error(), err)
		}
		length := proto.Size(next) + caseEnvelope
		if len(batch.Cases) > 0 && size+length > chunkMax {
			send()
		}
		if sending != nil {
			break
		}
		batch.Cases = append(batch.Cases, next)
		size += length
	}
	if sending == nil && len(batch.Cases) > 0 {
		send()
	}
	return stream.CloseAndRecv()
}

// GetSuite gives a suite by name.
func (c *Client) GetSuite(ctx context.Context, name string) (*Suite, error) {
	return call(ctx, c, c.suites.GetSuite, &assayv1.GetSuiteRequest{Name: name})
}

// Suites lists all suites, asked for page by page. An error ends the sequence.
func (c *Client) Suites(ctx context.Context) iter.Seq2[*Suite, error] {
	return pages(func(token string) ([]*Suite, string, error) {
		page, err := call(ctx, c, c.suites.ListSuites, &assayv1.ListSuitesRequest{PageToken: token})
		return page.GetSuites(), page.GetNextPageToken(), err
	})
}

// DeleteSuite deletes a suite that no running job uses.
func (c *Client) DeleteSuite(ctx context.Context, name string) error {
	return remove(ctx, c, c.suites.DeleteSuite, &assayv1.DeleteSuiteRequest{Name: name})
}

// checks are SPECs as they travel.
func checks(specs []string) []*assayv1.Check {
	var checks []*assayv1.Check
	for _, spec := range specs {
		checks = append(checks, &assayv1.Check{Spec: spec})
	}
	return checks
}

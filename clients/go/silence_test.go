package assay_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/assayv1"
)

// moody answers streams of results in another way each time.
type moody struct {
	assayv1.UnimplementedJobServiceServer
	calls  atomic.Int32
	tokens []string
}

func (m *moody) StreamResults(
	request *assayv1.StreamResultsRequest, stream grpc.ServerStreamingServer[assayv1.StreamResultsResponse],
) error {
	m.tokens = append(m.tokens, request.GetResumeToken())
	verdicts := &assayv1.VerdictBatch{Verdicts: []*assayv1.Verdict{{CaseId: "a"}}}
	batch := &assayv1.StreamResultsResponse{
		ResumeToken: "1", Message: &assayv1.StreamResultsResponse_Verdicts{Verdicts: verdicts},
	}
	done := &assayv1.StreamResultsResponse{ResumeToken: "2", Message: &assayv1.StreamResultsResponse_Done{}}
	switch m.calls.Add(1) {
	case 1: // A message, then silence.
		if err := stream.Send(batch); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	case 2: // An end without `done`.
		return nil
	case 3:
		return status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR")
	case 4:
		return stream.Send(done)
	}
	return status.Error(codes.Internal, "the verdicts cannot be read")
}

func TestSilenceAndEarlyEndsAreMetAndAnswersAreNot(t *testing.T) {
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	service, server := &moody{}, grpc.NewServer()
	assayv1.RegisterJobServiceServer(server, service)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	client := connect(t, listener.Addr().String())
	client.Retry.Silence = 200 * time.Millisecond
	if verdicts := collect(t, t.Context(), client, "job"); len(verdicts) != 1 {
		t.Errorf("%d verdicts came", len(verdicts))
	}
	if calls := service.calls.Load(); calls != 4 || service.tokens[0] != "" || service.tokens[3] != "1" {
		t.Errorf("%d streams were opened after %q", calls, service.tokens)
	}
	var answer *assay.Error
	for _, err := range client.Follow(t.Context(), "job", "2") {
		if !errors.As(err, &answer) || answer.Code != codes.Internal {
			t.Errorf("an answer becomes %v", err)
		}
	}
	if calls := service.calls.Load(); calls != 5 {
		t.Errorf("an answer was tried again: %d streams", calls)
	}
}

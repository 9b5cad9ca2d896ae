package assay_test

import (
	"bytes"
	"context"
	"errors"

	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/assayv1"
	"github.com/assay-ml/assay/clients/go/internal/testserver"
)

// offsets notes where the chunks of each upload begin.
func offsets(calls *[][]uint64, at func(uint64)) grpc.DialOption {
	return grpc.WithStreamInterceptor(func(
		ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer,
		options ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		*calls = append(*calls, nil)
		stream, err := streamer(ctx, desc, conn, method, options...)
		return noting{stream, &(*calls)[len(*calls)-1], at}, err
	})
}

type noting struct {
	grpc.ClientStream
	call *[]uint64
	at   func(uint64)
}

func (n noting) SendMsg(message any) error {
	if chunk := message.(*assayv1.UploadModelRequest).GetChunk(); chunk != nil {
		*n.call = append(*n.call, chunk.GetOffset())
		n.at(chunk.GetOffset())
	}
	return n.ClientStream.SendMsg(message)
}

// largeModel is the network with a long documentation, so that it takes several chunks.
func largeModel(t *testing.T) assay.ModelUpload {
	file := must[[]byte](t)(os.ReadFile(modelPath))
	const docString = 6 // Of ModelProto.
	file = protowire.AppendTag(file, docString, protowire.BytesType)
	file = protowire.AppendBytes(file, bytes.Repeat([]byte("digits. "), 1<<20))
	return assay.ModelUpload{ONNX: bytes.NewReader(file), Size: int64(len(file))}
}

func TestABrokenUploadGoesOnWhereItBroke(t *testing.T) {
	for name, breakOff := range map[string]func(*testserver.Server) (string, func(uint64)){
		"cut": func(server *testserver.Server) (string, func(uint64)) {
			return testserver.CutRequests(t, server, 4_500_000, 2_500_000).Address(), func(uint64) {}
		},
		"killed": func(server *testserver.Server) (string, func(uint64)) {
			var once sync.Once
			return server.Address(), func(offset uint64) {
				if offset == 5<<20 {
					once.Do(func() {
						time.Sleep(300 * time.Millisecond)
						server.Kill()
						server.Start()
					})
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls [][]uint64
			address, at := breakOff(testserver.Start(t))
			client := must[*assay.Client](t)(assay.NewClient(address, offsets(&calls, at)))
			defer client.Close()
			upload := largeModel(t)
			model := must[*assay.Model](t)(client.UploadModel(t.Context(), upload))
			if model.GetSizeBytes() != uint64(upload.Size) {
				t.Errorf("%d bytes came of %d", model.GetSizeBytes(), upload.Size)
			}
			if len(calls) < 2 || calls[0][0] != 0 || calls[len(calls)-1][0] == 0 {
				t.Errorf("the uploads had chunks at %v", calls)
			}
		})
	}
}

func TestCasesTravelInMessagesOfAMebibyte(t *testing.T) {
	var sizes, counts []int
	count := grpc.WithStreamInterceptor(func(
		ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer,
		options ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		stream, err := streamer(ctx, desc, conn, method, options...)
		return batches{stream, &sizes, &counts}, err
	})
	client := must[*assay.Client](t)(assay.NewClient(testserver.Start(t).Address(), count))
	defer client.Close()
	var cases []*assay.Case
	for length := range 1200 {
		inputs := map[string]*assay.Value{"x": assay.Array(make([]uint8, 2000), 2000)}
		cases = append(cases, &assay.Case{Inputs: inputs, Expected: assay.ClassIndex(uint64(length))})
	}
	suite := must[*assay.Suite](t)(client.UploadSuite(t.Context(), assay.SuiteUpload{Cases: assay.Cases(cases)}))
	if suite.GetCaseCount() != 1200 || len(sizes) != 4 || counts[0] != 0 || counts[1] < 500 {
		t.Errorf("%d cases came in messages of %v", suite.GetCaseCount(), counts)
	}
	for _, size := range sizes {
		if size > 1<<20 {
			t.Errorf("a message has %d bytes", size)
		}
	}
	failing := func(yield func(*assay.Case, error) bool) {
		_ = yield(&assay.Case{Id: "a", Inputs: caseInputs()}, nil) && yield(nil, os.ErrClosed)
	}
	if _, err := client.UploadSuite(t.Context(), assay.SuiteUpload{Cases: failing}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("cases that cannot be read give %v", err)
	}
}

type batches struct {
	grpc.ClientStream
	sizes, counts *[]int
}

func (b batches) SendMsg(message any) error {
	request := message.(*assayv1.UploadSuiteRequest)
	*b.sizes = append(*b.sizes, proto.Size(request))
	*b.counts = append(*b.counts, len(request.GetCases().GetCases()))
	return b.ClientStream.SendMsg(message)
}

// TestCasesAreThoseOfTheOtherClients compares digests, which the server makes of all cases, with the command line's.
func TestCasesAreThoseOfTheOtherClients(t *testing.T) {
	server := testserver.Start(t)
	client := connect(t, server.Address())
	push := exec.Command(testserver.Binary(t), "suite", "push", digitsPath, "--server", server.Address())
	name := string(bytes.TrimSpace(must[[]byte](t)(push.Output())))
	theirs := must[*assay.Suite](t)(client.GetSuite(t.Context(), name))
	ours := must[*assay.Suite](t)(client.GetSuite(t.Context(), digits(t, client, 1500).Suite))
	if theirs.GetSha256() != ours.GetSha256() {
		t.Errorf("the digests are %s and %s", theirs.GetSha256(), ours.GetSha256())
	}
}

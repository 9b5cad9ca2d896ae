package assay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// chunkMax is the longest chunk, and the longest message of cases unless a single case is longer, in bytes.
const chunkMax = 1 << 20

// ModelUpload is an ONNX file on its way.
type ModelUpload struct {
	// ONNX is the file. It is read once for its digest, and again while it is sent.
	ONNX io.ReaderAt
	// Size of the file in bytes.
	Size int64
	// Name is for display; it may be empty.
	Name string
	// Signature completes what the file says; YAML, may be empty.
	Signature string
}

// UploadModel uploads an ONNX file. A broken connection goes on where it broke, also after a restart of either side.
//
// The same file with the same signature is the same model, however often it is uploaded.
func (c *Client) UploadModel(ctx context.Context, upload ModelUpload) (*Model, error) {
	digest := sha256.New()
	if n, err := io.Copy(digest, io.NewSectionReader(upload.ONNX, 0, upload.Size)); err != nil || n != upload.Size {
		return nil, unreadable(n, upload.Size, err)
	}
	header := &assayv1.UploadModelHeader{
		SizeBytes:   uint64(upload.Size),
		Sha256:      hex.EncodeToString(digest.Sum(nil)),
		DisplayName: upload.Name,
		Signature:   upload.Signature,
		Resumable:   true,
	}
	kept := &assayv1.GetUploadRequest{Sha256: header.GetSha256(), SizeBytes: header.GetSizeBytes()}
	for t, before := (tries{client: c}), int64(0); ; {
		committed, err := call(ctx, c, c.models.GetUpload, kept)
		if err != nil {
			return nil, err
		}
		from := int64(committed.GetCommittedBytes())
		if from > before {
			t.failures = 0
		}
		before = from
		model, failed := c.sendModel(ctx, header, io.NewSectionReader(upload.ONNX, from, upload.Size-from), from)
		if failed == nil {
			return model, nil
		}
		if err := t.next(ctx, failed); err != nil {
			return nil, err
		}
	}
}

// UploadModelFile uploads the ONNX file at a path, under the file's name.
func (c *Client) UploadModelFile(ctx context.Context, path, signature string) (*Model, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, invalid("model", err.Error(), err)
	}
	defer file.Close()
	facts, err := file.Stat()
	if err != nil {
		return nil, invalid("model", err.Error(), err)
	}
	upload := ModelUpload{ONNX: file, Size: facts.Size(), Name: filepath.Base(path), Signature: signature}
	return c.UploadModel(ctx, upload)
}

// sendModel sends the file from an offset on.
func (c *Client) sendModel(
	ctx context.Context, header *assayv1.UploadModelHeader, rest io.Reader, offset int64,
) (*Model, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.models.UploadModel(ctx)
	if err != nil {
		return nil, err
	}
	first := &assayv1.UploadModelRequest{Message: &assayv1.UploadModelRequest_Header{Header: header}}
	// A failed Send says no more than that the call has ended: CloseAndRecv says how.
	sending := stream.Send(first)
	for buffer := make([]byte, chunkMax); sending == nil; {
		n, err := io.ReadFull(rest, buffer)
		if n > 0 {
			chunk := &assayv1.Chunk{Offset: uint64(offset), Data: buffer[:n]}
			sending = stream.Send(&assayv1.UploadModelRequest{Message: &assayv1.UploadModelRequest_Chunk{Chunk: chunk}})
			offset += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, unreadable(offset, int64(header.GetSizeBytes()), err)
		}
	}
	return stream.CloseAndRecv()
}

func unreadable(offset, size int64, err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return invalid("model", fmt.Sprintf("reading byte %d of %d: %v", offset, size, err), err)
}

// RegisterModel registers a model that a server of the Open Inference Protocol has (KServe, Triton, MLServer, another
// assay). The server's configuration says which endpoints it may ask. Name is for display; the signature (YAML, may be
// empty) completes what the endpoint says.
func (c *Client) RegisterModel(ctx context.Context, remote *RemoteModel, name, signature string) (*Model, error) {
	return call(ctx, c, c.models.RegisterModel, &assayv1.RegisterModelRequest{
		DisplayName: name,
		Remote:      remote,
		Signature:   signature,
	})
}

// GetModel gives a model by name.
func (c *Client) GetModel(ctx context.Context, name string) (*Model, error) {
	return call(ctx, c, c.models.GetModel, &assayv1.GetModelRequest{Name: name})
}

// Models lists all models, asked for page by page. An error ends the sequence.
func (c *Client) Models(ctx context.Context) iter.Seq2[*Model, error] {
	return pages(func(token string) ([]*Model, string, error) {
		page, err := call(ctx, c, c.models.ListModels, &assayv1.ListModelsRequest{PageToken: token})
		return page.GetModels(), page.GetNextPageToken(), err
	})
}

// InspectModel says what a model's graph holds, and the signature under which it is judged.
func (c *Client) InspectModel(ctx context.Context, name string) (*Inspection, error) {
	return call(ctx, c, c.models.InspectModel, &assayv1.InspectModelRequest{Name: name})
}

// DeleteModel deletes a model that no running job uses.
func (c *Client) DeleteModel(ctx context.Context, name string) error {
	return remove(ctx, c, c.models.DeleteModel, &assayv1.DeleteModelRequest{Name: name})
}

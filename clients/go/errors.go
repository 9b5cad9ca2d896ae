package assay

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Violation is one wrong field of a request.
type Violation struct {
	// Field is the path of the field, such as `checks[2].params.steps`; empty if the whole request is meant.
	Field string
	// Message says what was found and what was expected.
	Message string
}

// Error is what every failed call of this package returns: the server's status with its google.rpc details.
//
// It is found with errors.As. Its kinds, such as ErrNotFound, are found with errors.Is, and so is the error of a context
// that ended the call.
type Error struct {
	// Code says what kind of error it is.
	Code codes.Code
	// Message is for people.
	Message string
	// Violations names every wrong field (google.rpc.BadRequest).
	Violations []Violation
	// Reason is for machines (google.rpc.ErrorInfo), such as `LIMIT`; empty if none was given.
	Reason string
	// Metadata says more about the reason: for `LIMIT` which `limit`, and its `value`.
	Metadata map[string]string
	// RetryAfter is how long to wait before another try (google.rpc.RetryInfo); 0 if the server did not say.
	RetryAfter time.Duration

	cause error
}

// Kinds of errors that a caller can do something about, for errors.Is.
var (
	// ErrInvalidRequest is a request with wrong fields, which Error.Violations names.
	ErrInvalidRequest = &Error{Code: codes.InvalidArgument, Message: "invalid request"}
	// ErrNotFound is a resource that does not exist, or was deleted.
	ErrNotFound = &Error{Code: codes.NotFound, Message: "not found"}
	// ErrAlreadyExists is a resource with other content, such as a RequestID used for another job.
	ErrAlreadyExists = &Error{Code: codes.AlreadyExists, Message: "already exists"}
	// ErrFailedPrecondition is a state that does not allow the call, such as deleting a model that a running job uses.
	ErrFailedPrecondition = &Error{Code: codes.FailedPrecondition, Message: "failed precondition"}
	// ErrResourceExhausted is a limit of the server that was reached.
	ErrResourceExhausted = &Error{Code: codes.ResourceExhausted, Message: "resource exhausted"}
	// ErrDataLoss is bytes that are not what they should be.
	ErrDataLoss = &Error{Code: codes.DataLoss, Message: "data loss"}
	// ErrUnavailable is a server that cannot be reached, even after the client's own retries.
	ErrUnavailable = &Error{Code: codes.Unavailable, Message: "unavailable"}
)

// Error is the code and the message.
func (e *Error) Error() string {
	return "assay: " + e.Code.String() + ": " + e.Message
}

// Is says whether target is the kind of this error.
func (e *Error) Is(target error) bool {
	kind, ok := target.(*Error)
	return ok && kind.Code == e.Code && kind == kindOf(kind.Code)
}

// Unwrap is the context's error if the context ended the call, or what reading a file or a sequence of cases gave.
func (e *Error) Unwrap() error {
	return e.cause
}

// GRPCStatus makes status.Code and the like work.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.Code, e.Message)
}

func kindOf(code codes.Code) *Error {
	kinds := []*Error{
		ErrInvalidRequest, ErrNotFound, ErrAlreadyExists, ErrFailedPrecondition, ErrResourceExhausted, ErrDataLoss,
		ErrUnavailable,
	}
	for _, kind := range kinds {
		if kind.Code == code {
			return kind
		}
	}
	return nil
}

// invalid is the error of an argument that cannot be sent.
func invalid(field, message string, cause error) *Error {
	violations := []Violation{{Field: field, Message: message}}
	return &Error{Code: codes.InvalidArgument, Message: field + ": " + message, Violations: violations, cause: cause}
}

// fromRPC is the error behind a failed call of gRPC.
func fromRPC(ctx context.Context, failed error) *Error {
	if own := (*Error)(nil); errors.As(failed, &own) {
		return own
	}
	// A context's own error becomes a status as well.
	state := status.Convert(failed)
	if code := status.FromContextError(failed).Code(); code != codes.Unknown {
		state = status.New(code, failed.Error())
	}
	e := &Error{Code: state.Code(), Message: state.Message()}
	if e.Code == codes.Canceled || e.Code == codes.DeadlineExceeded {
		e.cause = ctx.Err()
	}
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{Field: v.GetField(), Message: v.GetDescription()})
			}
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.RetryInfo:
			e.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return e
}

// isBroken says whether the connection broke, as opposed to the server having answered with an error.
//
// A reset stream reaches the caller under several codes that a server may also send itself; the transport's own words
// tell the two apart.
func (e *Error) isBroken() bool {
	switch e.Code {
	case codes.Unavailable:
		return true
	case codes.Unknown, codes.Canceled, codes.Internal:
		message := strings.ToLower(e.Message)
		for _, words := range []string{"rst_stream", "goaway", "connection", "transport", "h2 protocol error"} {
			if strings.Contains(message, words) {
				return true
			}
		}
	}
	return false
}

// isPassing says whether another try may help: the connection broke, or the server asked for a later try.
func (e *Error) isPassing() bool {
	return e.isBroken() || e.RetryAfter > 0
}

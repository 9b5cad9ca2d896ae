package assay

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Retry says how broken connections are met.
type Retry struct {
	// Attempts is how often a call or an upload is tried in all; a resumable upload counts anew once it gets further.
	Attempts int
	// Patience is how long a stream of results is tried again without progress.
	Patience time.Duration
	// Silence is after how long without a message a stream is taken as dead; the server sends one at least every 15
	// seconds.
	Silence time.Duration
	// First is the longest wait before the first retry; it doubles with every failure.
	First time.Duration
	// Longest is the longest wait between two tries.
	Longest time.Duration
}

// DefaultRetry gives a call up after three seconds, and a stream of results after a minute.
var DefaultRetry = Retry{
	Attempts: 6,
	Patience: time.Minute,
	Silence:  45 * time.Second,
	First:    100 * time.Millisecond,
	Longest:  5 * time.Second,
}

// delay is the wait after so many failures in a row: exponential with jitter, or longer if the server asked for it.
func (r Retry) delay(failures int, e *Error) time.Duration {
	ceiling := r.First
	for range failures - 1 {
		ceiling = min(2*ceiling, r.Longest)
	}
	wait := ceiling/2 + rand.N(ceiling/2+1)
	return max(wait, e.RetryAfter)
}

// tries are the tries of one call or upload.
type tries struct {
	client   *Client
	failures int
}

// next waits for the next try. It gives the call's error if there is none.
func (t *tries) next(ctx context.Context, failed error) error {
	e := fromRPC(ctx, failed)
	t.failures++
	if ctx.Err() != nil || t.failures >= t.client.Retry.Attempts || !e.isPassing() {
		return e
	}
	return t.client.pause(ctx, t.client.Retry.delay(t.failures, e))
}

// pause waits before another try, while the connection is brought up again.
func (c *Client) pause(ctx context.Context, wait time.Duration) error {
	c.conn.Connect()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fromRPC(ctx, ctx.Err())
	}
}

// call carries out a call, and again after a broken connection. Every call leaves the server the same however often it
// arrives.
func call[Q, A any](
	ctx context.Context, c *Client, method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) (A, error) {
	t := tries{client: c}
	for {
		answer, failed := method(ctx, request)
		if failed == nil {
			return answer, nil
		}
		if err := t.next(ctx, failed); err != nil {
			return *new(A), err
		}
	}
}

// remove carries out a deletion. A retry that finds nothing has succeeded: only the answer was lost.
func remove[Q, A any](
	ctx context.Context, c *Client, method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) error {
	t := tries{client: c}
	for {
		_, failed := method(ctx, request)
		if failed == nil || t.failures > 0 && status.Code(failed) == codes.NotFound {
			return nil
		}
		if err := t.next(ctx, failed); err != nil {
			return err
		}
	}
}

// pages is everything that a list holds, asked for as it is needed.
func pages[T any](page func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		token := ""
		for {
			items, next, err := page(token)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}

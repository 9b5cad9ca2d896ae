package assay

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
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

// again says whether to try again, after it has waited. If not, the error is the call's.
func (t *tries) again(ctx context.Context, failed error) (bool, error) {
	failed = fromRPC(ctx, failed)
	e := (*Error)(nil)
	if !errors.As(failed, &e) {
		return false, nil
	}
	t.failures++
	if ctx.Err() != nil || t.failures >= t.client.Retry.Attempts || !e.isPassing() {
		return false, e
	}
	return true, t.client.pause(ctx, t.client.Retry.delay(t.failures, e))
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
func call[T any](ctx context.Context, c *Client, once func() (T, error)) (T, error) {
	t := tries{client: c}
	for {
		answer, failed := once()
		if failed == nil {
			return answer, nil
		}
		if again, err := t.again(ctx, failed); err != nil || !again {
			return *new(T), err
		}
	}
}

// remove carries out a deletion. A retry that finds nothing has succeeded: only the answer was lost.
func remove(ctx context.Context, c *Client, once func() error) error {
	first := true
	_, err := call(ctx, c, func() (struct{}, error) {
		failed := once()
		if !first && errors.Is(fromRPC(ctx, failed), ErrNotFound) {
			failed = nil
		}
		first = false
		return struct{}{}, failed
	})
	return err
}

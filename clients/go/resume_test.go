package assay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/internal/testserver"
)

// A check with one point, one with five, one with one.
var checks = []string{"clean", "gaussian_noise", "motion_blur:severity=1"}

// exactlyOnce fails unless every case came once under every point of every check.
func exactlyOnce(t *testing.T, verdicts []*assay.Verdict, cases int) {
	t.Helper()
	seen := map[string]int{}
	for _, v := range verdicts {
		seen[fmt.Sprint(v.GetCaseIndex(), v.GetCheckIndex(), v.GetParams().GetFields()["severity"].GetNumberValue())]++
	}
	if len(verdicts) != 7*cases || len(seen) != 7*cases {
		t.Errorf("%d verdicts came, %d different ones, %d were expected", len(verdicts), len(seen), 7*cases)
	}
}

func TestACutStreamRepeatsAndLosesNothing(t *testing.T) {
	server := testserver.Start(t)
	client := connect(t, server.Address())
	job := must[*assay.Job](t)(client.CreateJob(t.Context(), digits(t, client, 300, checks...)))
	// Uneven places: within a message, within the answer's header, while the job runs and after it.
	proxy := testserver.CutAnswers(t, server, 3_000, 40_000, 700, 9_999, 65_537, 123, 20_000, 30_001)
	verdicts := collect(t, t.Context(), connect(t, proxy.Address()), job.GetName())
	exactlyOnce(t, verdicts, 300)
	if proxy.Cuts.Load() != 8 {
		t.Errorf("%d connections were cut", proxy.Cuts.Load())
	}
}

func TestAKilledServerGoesOnAndSoDoesTheStream(t *testing.T) {
	server := testserver.Start(t)
	client := connect(t, server.Address())
	job := must[*assay.Job](t)(client.CreateJob(t.Context(), digits(t, client, 1500, checks...)))
	var verdicts []*assay.Verdict
	var restarts sync.WaitGroup
	for verdict, err := range client.Verdicts(t.Context(), job.GetName()) {
		if err != nil {
			t.Fatal(err)
		}
		if verdicts = append(verdicts, verdict); len(verdicts) == 1 || len(verdicts) == 2000 {
			running := must[*assay.Job](t)(client.GetJob(t.Context(), job.GetName()))
			if running.GetState() != assay.JobRunning {
				t.Fatalf("the job is %v already", running.GetState())
			}
			restarts.Wait()
			server.Kill()
			restarts.Go(func() {
				time.Sleep(300 * time.Millisecond)
				server.Start()
			})
		}
	}
	restarts.Wait()
	exactlyOnce(t, verdicts, 1500)
	// From the middle on, by the token of a message.
	var tokens []string
	for message, err := range client.Follow(t.Context(), job.GetName(), "") {
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, message.GetResumeToken())
		verdicts = verdicts[len(message.GetVerdicts().GetVerdicts()):]
		if len(tokens) == 3 {
			break
		}
	}
	for message, err := range client.Follow(t.Context(), job.GetName(), tokens[2]) {
		if err != nil {
			t.Fatal(err)
		}
		verdicts = verdicts[len(message.GetVerdicts().GetVerdicts()):]
	}
	if len(verdicts) != 0 {
		t.Errorf("%d verdicts did not come the second time", len(verdicts))
	}
}

func TestClientsOfOneJobGetTheSameBytes(t *testing.T) {
	server := testserver.Start(t)
	first := connect(t, server.Address())
	job := must[*assay.Job](t)(first.CreateJob(t.Context(), digits(t, first, 600, checks...)))
	var got [4][]byte
	var readers sync.WaitGroup
	for i := range got {
		client := connect(t, server.Address())
		readers.Go(func() {
			for verdict, err := range client.Verdicts(t.Context(), job.GetName()) {
				if err != nil {
					t.Error(err)
					return
				}
				got[i], err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(got[i], verdict)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Wait()
	for _, other := range got[1:] {
		if len(other) == 0 || !bytes.Equal(got[0], other) {
			t.Errorf("%d bytes and %d others", len(got[0]), len(other))
		}
	}
}

func TestAContextEndsAStreamAndAWait(t *testing.T) {
	server := testserver.Start(t)
	client := connect(t, server.Address())
	job := must[*assay.Job](t)(client.CreateJob(t.Context(), digits(t, client, 1500, checks...))).GetName()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range client.Verdicts(ctx, job) {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a cancelled stream ends with %v", last)
	}
	if cancelled := must[*assay.Job](t)(client.CancelJob(t.Context(), job)); cancelled.GetState() != assay.JobCancelled {
		t.Errorf("the job is %v", cancelled.GetState())
	}
	// While the server is away the client waits and tries again, no longer than the context allows.
	server.Kill()
	client.Retry.Attempts = 1000
	for what, wait := range map[string]func(context.Context) error{
		"a stream": func(ctx context.Context) error { _, err := client.Wait(ctx, job); return err },
		"a call":   func(ctx context.Context) error { _, err := client.ServerInfo(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		began := time.Now()
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("%s ended after %v with %v", what, time.Since(began), err)
		}
		cancel()
	}
}

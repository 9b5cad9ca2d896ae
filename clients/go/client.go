// Package assay is the client of assay, a gRPC service that says how far a machine-learning model can be trusted.
//
// A caller uploads a model and a suite of cases, starts a job, and reads a verdict for each case under each check:
//
//	client, err := assay.NewClient("127.0.0.1:50051")
//	...
//	job, err := client.CreateJob(ctx, assay.JobRequest{
//		Model: model.GetName(), Suite: suite.GetName(), Checks: []string{"clean", "gaussian_noise:severity=3"},
//	})
//	...
//	for verdict, err := range client.Verdicts(ctx, job.GetName()) {
//		...
//	}
//
// Broken connections and restarts of the server go unnoticed, as far as Client.Retry allows. What fails is an *Error.
package assay

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// messageMax is the longest message that is received, in bytes; a shard's verdicts come in one.
const messageMax = 64 << 20

// Client is a connection to a server. It may be used by several goroutines at once.
type Client struct {
	// Retry says how broken connections are met. It may be changed before the first call.
	Retry Retry

	conn    *grpc.ClientConn
	models  assayv1.ModelServiceClient
	suites  assayv1.SuiteServiceClient
	jobs    assayv1.JobServiceClient
	catalog assayv1.CatalogServiceClient
}

// NewClient makes a client of the server at target: `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT`, or any other
// name that gRPC resolves. Nothing is sent yet.
//
// The connection is plain text, or has TLS with the system's root certificates where the target begins with `https://`.
// The options go before the client's own: other credentials, tokens for each call, interceptors.
func NewClient(target string, options ...grpc.DialOption) (*Client, error) {
	transport := insecure.NewCredentials()
	if strings.HasPrefix(target, "https://") {
		transport = credentials.NewTLS(nil)
	}
	address := strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(target, "https://"), "http://"), "/")
	own := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMax)),
		// A peer that is gone without a word is noticed, also while nothing is sent.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		// After a restart of the server the next try should not wait for the library's own two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	}
	conn, err := grpc.NewClient(address, append(own, options...)...)
	if err != nil {
		return nil, invalid("target", err.Error(), err)
	}
	return &Client{
		Retry:   DefaultRetry,
		conn:    conn,
		models:  assayv1.NewModelServiceClient(conn),
		suites:  assayv1.NewSuiteServiceClient(conn),
		jobs:    assayv1.NewJobServiceClient(conn),
		catalog: assayv1.NewCatalogServiceClient(conn),
	}, nil
}

// Close closes the connection. Jobs run on.
func (c *Client) Close() error {
	return c.conn.Close()
}

// Catalog lists the probes with their manuals and parameters, only those of a family unless it is empty.
func (c *Client) Catalog(ctx context.Context, family string) ([]*Probe, error) {
	answer, err := call(ctx, c, c.catalog.ListProbes, &assayv1.ListProbesRequest{Family: family})
	return answer.GetProbes(), err
}

// Probe gives a probe by name.
func (c *Client) Probe(ctx context.Context, name string) (*Probe, error) {
	return call(ctx, c, c.catalog.GetProbe, &assayv1.GetProbeRequest{Name: name})
}

// ServerInfo says version, engine, slots and limits of the server.
func (c *Client) ServerInfo(ctx context.Context) (*ServerInfo, error) {
	return call(ctx, c, c.catalog.GetServerInfo, &assayv1.GetServerInfoRequest{})
}

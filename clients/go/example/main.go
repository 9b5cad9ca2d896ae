// Command example judges a network that reads handwritten digits, on a server that `assay serve` has started:
//
//	go run ./example -model ../../tests/models/mnist_cnn.onnx -cases ../../tests/data/mnist_test.npz
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	assay "github.com/assay-ml/assay/clients/go"
)

func main() {
	server := flag.String("server", "127.0.0.1:50051", "address of the server")
	model := flag.String("model", "m.onnx", "ONNX file")
	cases := flag.String("cases", "test.npz", "arrays x and y")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := judge(ctx, os.Stdout, *server, *model, *cases); err != nil {
		log.Fatal(explain(err))
	}
}

// judge uploads a model and cases, and writes what breaks the model.
func judge(ctx context.Context, out io.Writer, server, modelPath, casesPath string) error {
	client, err := assay.NewClient(server)
	if err != nil {
		return err
	}
	defer client.Close()

	model, err := client.UploadModelFile(ctx, modelPath, "")
	if err != nil {
		return err
	}
	cases, err := assay.ReadNPZ(casesPath)
	if err != nil {
		return err
	}
	suite, err := client.UploadSuite(ctx, assay.SuiteUpload{Cases: assay.Cases(cases)})
	if err != nil {
		return err
	}
	job, err := client.CreateJob(ctx, assay.JobRequest{
		Model:  model.GetName(),
		Suite:  suite.GetName(),
		Checks: []string{"clean", "gaussian_noise:severity=3"},
		Gates:  []string{"clean.accuracy >= 0.9"},
		Limit:  200,
	})
	if err != nil {
		return err
	}
	for verdict, err := range client.Verdicts(ctx, job.GetName()) { // as they come, each exactly once
		if err != nil {
			return err
		}
		if verdict.GetOutcome() == assay.Broken {
			fmt.Fprintln(out, verdict.GetCaseId(), verdict.GetCheck(), verdict.GetLabel(), verdict.GetPredicted())
		}
	}
	report, err := client.GetReport(ctx, job.GetName())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, report.GetVerdict())
	return nil
}

// explain names every wrong field of a request.
func explain(err error) string {
	text := err.Error()
	if wrong := (*assay.Error)(nil); errors.As(err, &wrong) {
		for _, violation := range wrong.Violations {
			text += "\n  " + violation.Field + " - " + violation.Message
		}
	}
	return text
}

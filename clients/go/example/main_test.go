package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/assay-ml/assay/clients/go/internal/testserver"
)

func TestTheExampleRuns(t *testing.T) {
	var out bytes.Buffer
	model := testserver.Path("tests", "models", "mnist_cnn.onnx")
	cases := testserver.Path("tests", "data", "mnist_test.npz")
	if err := judge(t.Context(), &out, testserver.Start(t).Address(), model, cases); err != nil {
		t.Fatal(explain(err))
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	broken := regexp.MustCompile(`^\d+ (clean|gaussian_noise:severity=3) \d \d$`)
	for _, line := range lines[:len(lines)-1] {
		if !broken.MatchString(line) {
			t.Errorf("a line says %q", line)
		}
	}
	if len(lines) < 2 || lines[len(lines)-1] != "pass" {
		t.Errorf("the example wrote %q", lines)
	}
}

// TestTheReadmesAreOfTheExample keeps the READMEs true: their code stands in the example.
func TestTheReadmesAreOfTheExample(t *testing.T) {
	code, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```")
	readme, err := os.ReadFile(testserver.Path("clients", "go", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := blocks.FindAllStringSubmatch(string(readme), -1)
	if len(found) == 0 {
		t.Error("the README has no code")
	}
	for _, block := range found {
		rest := string(code)
		for line := range strings.Lines(block[1]) {
			_, after, ok := strings.Cut(rest, strings.TrimSpace(line))
			if rest = after; !ok {
				t.Errorf("the example lacks, in this order, %q", line)
			}
		}
	}
}

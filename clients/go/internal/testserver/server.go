// Package testserver starts the real server for tests, and cuts its connections.
package testserver

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Server is `assay serve` on a folder; it keeps its port after a restart.
type Server struct {
	t       testing.TB
	folder  string
	options []string
	address string
	process *exec.Cmd
}

// Path is that of a file of the repository.
func Path(parts ...string) string {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..", "..", "..")
	return filepath.Join(append([]string{root}, parts...)...)
}

// Binary is the program: ASSAY_BIN, or what `cargo build` has made.
func Binary(t testing.TB) string {
	path := os.Getenv("ASSAY_BIN")
	if path == "" {
		path = Path("target", "debug", "assay")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `cargo build`, or set ASSAY_BIN", err)
	}
	return path
}

// Start starts a server of the test's own, which ends with it. The options are further ones of `assay serve`.
func Start(t testing.TB, options ...string) *Server {
	s := &Server{t: t, folder: t.TempDir(), options: options, address: "127.0.0.1:0"}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Start starts the server, again after Kill.
func (s *Server) Start() {
	arguments := []string{"serve", "--listen", s.address, "--engine", "sqlite:" + s.folder, "--slots", "2"}
	s.process = exec.Command(Binary(s.t), append(arguments, s.options...)...)
	stderr, err := s.process.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	for {
		line, err := said.ReadString('\n')
		if address, ok := strings.CutPrefix(line, "listening on "); ok {
			s.address = strings.TrimSpace(address)
			break
		}
		if err != nil {
			s.t.Fatalf("the server did not start: %s", line)
		}
	}
	// Kept empty, so that the server never waits to say something.
	go func() { _, _ = io.Copy(io.Discard, said) }()
}

// Address is `HOST:PORT`.
func (s *Server) Address() string {
	return s.address
}

// Kill ends the server as a power cut does.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

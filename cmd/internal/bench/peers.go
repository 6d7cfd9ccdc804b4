package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// peer is a program that is measured.
type peer struct {
	Name string
	// build makes the program in a directory and returns its path.
	build func(ctx context.Context, directory string) (string, error)
	// command is what starts it. Its data goes to directory/data, its metrics are at address.
	command func(program, directory, address, sink string, s shape) (*exec.Cmd, error)
	// data is where the bytes on disk are counted, below the directory.
	data string
}

const (
	ringmaster = "ringmaster"
	prometheus = "prometheus"
	vmagent    = "vmagent"

	vmagentModule  = "github.com/VictoriaMetrics/VictoriaMetrics"
	vmagentVersion = "v1.150.0"
)

var peers = []peer{
	{Name: ringmaster, build: goBuild("github.com/ringmaster-agent/ringmaster/cmd/agent"), command: ringmasterCommand, data: "wal"},
	{Name: prometheus, build: goBuild("github.com/prometheus/prometheus/cmd/prometheus"), command: prometheusCommand, data: "data"},
	{Name: vmagent, build: buildVMAgent, command: vmagentCommand, data: "data"},
}

// built is a peer's program, which is built if there is none yet. Ringmaster always is: it is what
// changes.
func (p peer) built(ctx context.Context, directory string) (string, error) {
	program := filepath.Join(directory, p.Name)
	if _, err := os.Stat(program); err == nil && p.Name != ringmaster {
		return program, nil
	}
	return p.build(ctx, directory)
}

// goBuild builds a package of this module or of one that it requires.
func goBuild(pkg string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, directory string) (string, error) {
		program := filepath.Join(directory, filepath.Base(pkg))
		return program, run(exec.CommandContext(ctx, "go", "build", "-o", program, pkg))
	}
}

// buildVMAgent builds it in a module of its own, so that none of its requirements become ours.
func buildVMAgent(ctx context.Context, directory string) (string, error) {
	module := filepath.Join(directory, "vmagent-module")
	if err := os.MkdirAll(module, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(directory, vmagent)
	for _, args := range [][]string{
		{"mod", "init", "bench"},
		{"get", vmagentModule + "/app/vmagent@" + vmagentVersion},
		{"build", "-o", program, vmagentModule + "/app/vmagent"},
	} {
		if args[0] == "mod" {
			if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
				continue
			}
		}
		command := exec.CommandContext(ctx, "go", args...)
		command.Dir = module
		if err := run(command); err != nil {
			return "", err
		}
	}
	return program, nil
}

func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, output)
	}
	return nil
}

// scrapeConfig is one job with some of a shape's targets, indented by n spaces.
func scrapeConfig(s shape, first, count, n int) string {
	var b strings.Builder
	indent := strings.Repeat(" ", n)
	fmt.Fprintf(&b, "%s- job_name: bench\n%s  static_configs:\n%s    - targets:\n", indent, indent, indent)
	for i := first; i < first+count; i++ {
		fmt.Fprintf(&b, "%s        - %q\n", indent, s.address(i, fieldPort))
	}
	return b.String()
}

func global(s shape) string {
	return fmt.Sprintf("scrape_interval: %s, scrape_timeout: %s", s.Interval, min(s.Interval, 10*time.Second))
}

func ringmasterCommand(program, directory, address, sink string, s shape) (*exec.Cmd, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "metrics:\n  wal_directory: %q\n  global: {%s}\n  configs:\n", directory+"/wal", global(s))
	each := s.Targets / s.Configs
	for i := range s.Configs {
		fmt.Fprintf(&b, "    - name: bench-%05d\n      remote_write: [{url: \"http://%s/write\"}]\n      scrape_configs:\n%s",
			i, sink, scrapeConfig(s, i*each, each, 8))
	}
	file := filepath.Join(directory, "agent.yaml")
	return exec.Command(program, "-config.file="+file, "-server.http.address="+address), os.WriteFile(file, []byte(b.String()), 0o600)
}

func prometheusConfig(directory, sink string, s shape, remoteWrite bool) (string, error) {
	text := fmt.Sprintf("global: {%s}\n", global(s))
	if remoteWrite {
		text += fmt.Sprintf("remote_write: [{url: \"http://%s/write\"}]\n", sink)
	}
	file := filepath.Join(directory, "prometheus.yml")
	return file, os.WriteFile(file, []byte(text+"scrape_configs:\n"+scrapeConfig(s, 0, s.Targets, 2)), 0o600)
}

func prometheusCommand(program, directory, address, sink string, s shape) (*exec.Cmd, error) {
	file, err := prometheusConfig(directory, sink, s, true)
	return exec.Command(program, "--agent", "--config.file="+file, "--storage.agent.path="+directory+"/data", "--web.listen-address="+address), err
}

func vmagentCommand(program, directory, address, sink string, s shape) (*exec.Cmd, error) {
	file, err := prometheusConfig(directory, sink, s, false)
	return exec.Command(program, "-promscrape.config="+file, "-remoteWrite.url=http://"+sink+"/write", "-remoteWrite.forcePromProto",
		"-remoteWrite.tmpDataPath="+directory+"/data", "-httpListenAddr="+address), err
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

// figures are what one run of one program under one shape gave.
type figures struct {
	CPU        float64 // seconds per million samples
	Cores      float64
	RSS, Peak  float64 // MB
	Wire       float64 // bytes per sample
	Disk       float64 // bytes per sample, of what was written since the start and still lies there
	Goroutines float64
	Start      float64 // seconds until each target's first sample has come
	LagP99     float64 // seconds
	Rate       float64 // samples per second

	samples float64 // that came while it was measured
}

// plan says how a run is done.
type plan struct {
	warm, measured time.Duration
	profile        string // directory for CPU and heap profiles; empty: none
}

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
	// targetsPerField keeps a field below the usual limit of open files.
	targetsPerField = 4000
)

// measure runs one program once.
func (p plan) measure(ctx context.Context, program string, of peer, s shape) (f figures, err error) {
	directory, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	sink, stopFields, err := startFields(s)
	if err != nil {
		return f, err
	}
	defer stopFields()
	address, err := loopback.FreeAddress()
	if err != nil {
		return f, err
	}
	command, err := of.command(program, directory, address, sink, s)
	if err != nil {
		return f, err
	}
	agent, err := startProcess(command, filepath.Join(directory, "log"))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, agent.stop()) }()
	began := time.Now()
	started, err := awaitTargets(ctx, sink, s, agent)
	if err != nil {
		return f, err
	}
	f.Start = time.Since(began).Seconds()
	if err := sleep(ctx, p.warm); err != nil {
		return f, err
	}
	before, err := reset(ctx, sink)
	if err != nil {
		return f, err
	}
	if err := p.watch(ctx, &f, agent, sink, address, of.Name+"-"+s.Name); err != nil {
		return f, err
	}
	bytes, err := size(filepath.Join(directory, of.data))
	f.Disk = float64(bytes) / (float64(started+before.Samples) + f.samples)
	return f, err
}

// watch fills in what is measured while the program runs in its stride.
func (p plan) watch(ctx context.Context, f *figures, agent *process, sink, address, name string) error {
	cpu, err := agent.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if p.profile != "" {
		go p.save(ctx, address, "profile?seconds="+strconv.Itoa(int(p.measured.Seconds())-1), name+".cpu")
	}
	if err := sleep(ctx, p.measured); err != nil {
		return err
	}
	after, err := agent.cpu()
	if err != nil {
		return err
	}
	elapsed := time.Since(began).Seconds()
	counts, err := reset(ctx, sink)
	if err != nil {
		return err
	}
	if counts.Samples == 0 || counts.Broken > 0 {
		return fmt.Errorf("receiver got %d samples and %d requests that it can't read", counts.Samples, counts.Broken)
	}
	samples := float64(counts.Samples)
	f.samples = samples
	f.CPU, f.Cores = (after-cpu).Seconds()/samples*1e6, (after-cpu).Seconds()/elapsed
	f.Wire, f.Rate, f.LagP99 = float64(counts.Wire)/samples, samples/elapsed, counts.LagP99.Seconds()
	if f.RSS, f.Peak, err = agent.memory(); err != nil {
		return err
	}
	f.Goroutines = goroutines(ctx, address)
	if p.profile != "" {
		p.save(ctx, address, "heap", name+".heap")
	}
	return nil
}

// startFields starts the processes with the targets; the first one's sink takes all samples.
func startFields(s shape) (sink string, stop func(), err error) {
	var running []*process
	stop = func() {
		for _, p := range running {
			_ = p.stop()
		}
	}
	self, err := os.Executable()
	if err != nil {
		return "", stop, err
	}
	for first := 0; first < s.Targets; first += targetsPerField {
		command := exec.Command(self, "-field", s.Name, "-first", strconv.Itoa(first), "-count", strconv.Itoa(min(targetsPerField, s.Targets-first)))
		output, err := command.StdoutPipe()
		if err != nil {
			return "", stop, err
		}
		p, err := startProcess(command, "")
		if err != nil {
			return "", stop, err
		}
		running = append(running, p)
		line, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			stop()
			return "", func() {}, fmt.Errorf("start targets: %w", err)
		}
		if sink == "" {
			sink = strings.TrimSpace(line)
		}
	}
	return sink, stop, nil
}

// awaitTargets returns when each target's first sample has come, and how many samples have come
// until then.
func awaitTargets(ctx context.Context, sink string, s shape, agent *process) (samples uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		counts, err := reset(ctx, sink)
		if err != nil {
			return samples, err
		}
		samples += counts.Samples
		if counts.Ups >= s.Targets {
			return samples, nil
		}
		select {
		case <-agent.exited:
			return samples, fmt.Errorf("program ended: %w\n%s", agent.err, agent.lastLog())
		default:
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return samples, fmt.Errorf("%d of %d targets arrived: %w\n%s", counts.Ups, s.Targets, err, agent.lastLog())
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// size is the bytes of all files below a directory. What vanishes meanwhile counts nothing.
func size(directory string) (total int64, err error) {
	err = filepath.WalkDir(directory, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return nil
	})
	return total, err
}

// goroutines is what the program says of itself, 0 if it does not.
func goroutines(ctx context.Context, address string) (n float64) {
	body, err := get(ctx, address, "/metrics")
	if err != nil {
		return 0
	}
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, _ = strconv.ParseFloat(rest, 64)
		}
	}
	return n
}

func (p plan) save(ctx context.Context, address, what, name string) {
	body, err := get(ctx, address, "/debug/pprof/"+what)
	if err == nil {
		defer body.Close()
		var content []byte
		if content, err = io.ReadAll(body); err == nil {
			err = errors.Join(os.MkdirAll(p.profile, 0o750), os.WriteFile(filepath.Join(p.profile, name+".pprof"), content, 0o600))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
	}
}

func get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// process is a program that runs.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	log     string
	exited  chan struct{}
	err     error // once exited
}

// startProcess starts a command. Its output goes to a file, unless that is "" or the command has
// one already.
func startProcess(command *exec.Cmd, log string) (*process, error) {
	p := &process{command: command, log: log, exited: make(chan struct{})}
	if log != "" {
		file, err := os.Create(log)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		command.Stdout, command.Stderr = file, file
	} else {
		command.Stderr = os.Stderr
	}
	var err error
	if p.stdin, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process in order, and with force if that takes too long.
func (p *process) stop() error {
	_ = p.stdin.Close()
	_ = p.command.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
		_ = p.command.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within %s", p.command.Path, stopTimeout)
	}
}

func (p *process) lastLog() string {
	content, _ := os.ReadFile(p.log)
	return string(content[max(0, len(content)-2000):])
}

// cpu is the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces. User and system time are fields 14 and 15, in
	// hundredths of a second.
	rest := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	user, err1 := strconv.Atoi(rest[11])
	system, err2 := strconv.Atoi(rest[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// memory is the resident set, now and at its largest, in MB.
func (p *process) memory() (rss, peak float64, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(content)) {
		name, rest, _ := strings.Cut(line, ":")
		if name == "VmRSS" || name == "VmHWM" {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				return 0, 0, err
			}
			if name == "VmRSS" {
				rss = kb / 1024
			} else {
				peak = kb / 1024
			}
		}
	}
	return rss, peak, nil
}

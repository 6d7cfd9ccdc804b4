package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	var (
		shapeNames = flag.String("shapes", "fat,huge,thin,many,churn,instances", "shapes to measure")
		peerNames  = flag.String("agents", "ringmaster,prometheus,vmagent", "programs to measure")
		rounds     = flag.Int("rounds", 3, "how often each is measured; the median is printed")
		warm       = flag.Duration("warm", 30*time.Second, "how long a program runs before it is measured")
		measured   = flag.Duration("measured", time.Minute, "how long it is measured")
		profile    = flag.String("profile", "", "directory for CPU and heap profiles")
		programs   = flag.String("programs", "", "directory of built programs, kept; peers that are there are not built again; empty: a temporary one")
		field      = flag.String("field", "", "serve the targets of a shape (used by the command itself)")
		first      = flag.Int("first", 0, "first target of -field")
		count      = flag.Int("count", 0, "number of targets of -field")
	)
	backlog := flag.Int64("restart", 0, "measure a restart with so many bytes unsent, and nothing else")
	flag.Parse()
	if *field != "" {
		return serveField(*field, *first, *count, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := chooseShapes(*shapeNames)
	if err != nil {
		return err
	}
	if *backlog > 0 {
		*peerNames = ringmaster
	}
	built, err := build(ctx, *programs, strings.Split(*peerNames, ","))
	if err != nil {
		return err
	}
	defer built.clean()
	p := plan{warm: *warm, measured: *measured, profile: *profile}
	if *backlog > 0 {
		return restart{p, *backlog, os.Stdout}.measure(ctx, built.programs[ringmaster])
	}
	r := report{rounds: *rounds}
	var failures []error
	for round := range *rounds {
		for _, s := range chosen {
			for _, of := range built.peers {
				if s.Alone && of.Name != ringmaster {
					continue
				}
				f, err := p.measure(ctx, built.programs[of.Name], of, s)
				if ctx.Err() != nil {
					return errors.Join(ctx.Err(), r.print(os.Stdout))
				}
				if err != nil { // the other figures of an hour are not thrown away
					err = fmt.Errorf("round %d, %s, %s: %w", round+1, s.Name, of.Name, err)
					fmt.Fprintln(os.Stderr, "bench:", err)
					failures = append(failures, err)
					continue
				}
				fmt.Fprintf(os.Stderr, "round %d, %s, %s: %.2f CPU-s per million samples, %.0f MB\n", round+1, s.Name, of.Name, f.CPU, f.RSS)
				r.add(s, of.Name, f)
			}
		}
	}
	return errors.Join(append(failures, r.print(os.Stdout))...)
}

func shapeByName(name string) (shape, error) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.Name == name })
	if i < 0 {
		return shape{}, fmt.Errorf("no shape is called %q", name)
	}
	return shapes[i], nil
}

func chooseShapes(names string) (chosen []shape, err error) {
	for name := range strings.SplitSeq(names, ",") {
		s, err := shapeByName(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// programs are the peers that could be built.
type programs struct {
	peers    []peer
	programs map[string]string
	clean    func()
}

// build builds the chosen peers. A peer that can't be built is left out, and the reason printed;
// Ringmaster has to be.
func build(ctx context.Context, directory string, names []string) (*programs, error) {
	b := &programs{programs: map[string]string{}, clean: func() {}}
	if directory == "" {
		var err error
		if directory, err = os.MkdirTemp("", "bench-programs-"); err != nil {
			return nil, err
		}
		b.clean = func() { _ = os.RemoveAll(directory) }
	}
	for _, of := range peers {
		if !slices.Contains(names, of.Name) {
			continue
		}
		program, err := of.built(ctx, directory)
		if err != nil {
			if of.Name == ringmaster {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "bench: %s is left out, it can't be built: %v\n", of.Name, err)
			continue
		}
		b.peers = append(b.peers, of)
		b.programs[of.Name] = program
	}
	return b, nil
}

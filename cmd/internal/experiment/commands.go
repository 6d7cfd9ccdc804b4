package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// commandTimeout bounds one command.
	commandTimeout = 30 * time.Second
	// commandGrace is how long a command that was killed may keep its output open.
	commandGrace = time.Second
	// maxSaid is how much of a command's output is kept, in bytes: its end.
	maxSaid = 2 << 10
)

// Commands says by which program each command of an experiment is carried out: the program and its
// arguments, by command. No shell reads them. {node} stands for the name of the node, {host} for its
// address without the port. A program has 30 s; status 0 means that it is done.
type Commands map[string][]string

// ParseCommands reads commands from YAML. The error names file, and every command that is wrong.
func ParseCommands(file string, text []byte) (Commands, error) {
	var c Commands
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&c); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var problems []error
	for verb, program := range c {
		if _, known := undoneBy[verb]; !known {
			problems = append(problems, fmt.Errorf("%s: there is no command %q", file, verb))
		}
		if len(program) == 0 || program[0] == "" {
			problems = append(problems, fmt.Errorf("%s: %s: give a program and its arguments", file, verb))
		}
	}
	return c, errors.Join(problems...)
}

// Check returns an error for each command of the experiment that is not there, and for each that
// could not be undone.
func (c Commands) Check(e Experiment) error {
	var problems []error
	for i, s := range e.Method {
		if s.Command == "" {
			continue
		}
		if c[s.Command] == nil {
			problems = append(problems, fmt.Errorf("method[%d]: nothing says how to %s node %s", i, s.Command, s.Node))
		}
		if undo := undoneBy[s.Command]; undo != "" && c[undo] == nil {
			problems = append(problems, fmt.Errorf("method[%d]: nothing says how to %s node %s after the %s", i, undo, s.Node, s.Command))
		}
	}
	return errors.Join(problems...)
}

// run runs the program of a command, and returns its command line and the end of what it has said.
func (c Commands) run(ctx context.Context, verb, node string, host func() string) (how string, err error) {
	program := c[verb]
	if len(program) == 0 {
		return "", fmt.Errorf("nothing says how to %s a node", verb)
	}
	line := make([]string, len(program))
	for i, word := range program {
		if strings.Contains(word, "{host}") {
			address := host()
			if address == "" {
				return "", fmt.Errorf("the address of node %s is not known", node)
			}
			word = strings.ReplaceAll(word, "{host}", address)
		}
		line[i] = strings.ReplaceAll(word, "{node}", node)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.WaitDelay = commandGrace
	said, err := command.CombinedOutput()
	how = strings.Join(line, " ")
	if said = bytes.TrimSpace(said); len(said) > 0 {
		how += ": " + string(said[max(0, len(said)-maxSaid):])
	}
	if err != nil {
		return how, fmt.Errorf("%s: %w", how, errors.Join(err, ctx.Err()))
	}
	return how, nil
}

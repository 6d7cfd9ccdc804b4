package wal

import "fmt"

// Own claims a directory of logs for one agent: while it is held, nobody else gets it, be it
// another process or another agent in this one. The directory has to be there. release gives it
// back; the end of the process does, too. Only Linux knows of other processes. The error is
// ErrLocked if it is taken.
func Own(parent string) (release func(), err error) {
	if err := checkOwn(parent); err != nil {
		return nil, fmt.Errorf("own directory of logs %s: %w", parent, err)
	}
	release, err = own(parent)
	if err != nil {
		return nil, fmt.Errorf("own directory of logs %s: %w", parent, err)
	}
	return release, nil
}

//go:build unix

package node

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the agents: who started them ends them in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

//go:build !linux

package wal

import "errors"

func (osFS) SyncFS(string) error { return errors.ErrUnsupported }

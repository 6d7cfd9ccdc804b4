//go:build !linux

package async

import "time"

// sinceBoot is not known here: a suspended machine shows by its wall clock only.
func sinceBoot() time.Duration { return 0 }

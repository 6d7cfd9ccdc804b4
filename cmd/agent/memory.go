package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// gcPercent makes the collector come earlier than by default. What an agent holds is labels that
// live long, and thousands of instances make much of it: with 1,000 instances of 100 series the
// process is a sixth smaller, for a seventh more of very little CPU.
const gcPercent = 50

// startTime is after how long the memory that only the start needed is given back.
const startTime = 15 * time.Second

// collectEarly leaves the collector alone if the operator has said something about it.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// forgetStart gives back to the system what the start needed once: garbage, and the pages of the
// program's file that only the initialisation of its many service discoveries has touched. A page
// that is needed again comes back from the page cache.
func forgetStart(logger *zap.Logger) {
	debug.FreeOSMemory()
	if err := releaseProgram(); err != nil {
		logger.Debug("pages of the program that only its start needed stay in memory", zap.Error(err))
	}
}

// memoryShare is the part of the container's memory that the collector aims at. The rest is for
// what it does not see: stacks of threads, memory-mapped stores, pages of logs that are being
// written.
const memoryShare = 0.9

// limitMemory makes the collector work harder before the container's bound on memory kills the
// process. An operator's GOMEMLIMIT wins.
func limitMemory(lookup func(string) (string, bool), readFile func(string) ([]byte, error)) {
	if _, set := lookup("GOMEMLIMIT"); set {
		return
	}
	if bound := containerMemory(readFile); bound > 0 {
		debug.SetMemoryLimit(int64(float64(bound) * memoryShare))
	}
}

// memoryLimit is the collector's, 0 if it has none.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// containerMemory is the bound that a control group of either version puts on this process' memory;
// 0: none.
func containerMemory(readFile func(string) ([]byte, error)) int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := readFile(file)
		if err != nil {
			continue
		}
		bound, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && bound > 0 && bound < 1<<60 { // version 1 says "none" with a number beyond any memory
			return bound
		}
	}
	return 0
}

package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapping is a part of a file in the memory of this process.
type mapping struct {
	start, end  uint64
	permissions string
	resident    int // KB
	changed     int // KB that are no longer what the file has
}

// releaseProgram drops the pages of the program's file from this process. They stay in the page
// cache. Mappings that may be written, or that were changed as by a dynamic linker, are left alone.
func releaseProgram() error {
	mappings, err := programMappings()
	if err != nil {
		return err
	}
	for _, m := range mappings {
		if strings.Contains(m.permissions, "w") || m.changed > 0 {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(m.start), uintptr(m.end-m.start), unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("release pages of the program: %w", errno)
		}
	}
	return nil
}

// programMappings reads from /proc where the program's file is mapped.
func programMappings() ([]mapping, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program's file: %w", err)
	}
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, fmt.Errorf("read the memory map: %w", err)
	}
	defer file.Close()
	var (
		found []mapping
		ours  bool
	)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if m, ok := parseMapping(fields); ok {
			if ours = len(fields) > 5 && fields[5] == program; ours {
				found = append(found, m)
			}
			continue
		}
		if !ours {
			continue
		}
		kb, _ := strconv.Atoi(fields[1])
		switch m := &found[len(found)-1]; fields[0] {
		case "Rss:":
			m.resident = kb
		case "Anonymous:":
			m.changed = kb
		}
	}
	return found, nil
}

// parseMapping reads the first line about a mapping: range, permissions, offset, device, inode, file.
func parseMapping(fields []string) (m mapping, ok bool) {
	from, to, isRange := strings.Cut(fields[0], "-")
	if !isRange {
		return m, false
	}
	var err1, err2 error
	m.start, err1 = strconv.ParseUint(from, 16, 64)
	m.end, err2 = strconv.ParseUint(to, 16, 64)
	m.permissions = fields[1]
	return m, err1 == nil && err2 == nil
}

package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// command is one of the tool's.
type command struct {
	about string
	run   func(args []string) error
}

func commands() map[string]command {
	return map[string]command{
		"packages": {"deb and rpm packages of one architecture", packages},
		"image":    {"an OCI layout of all architectures", image},
		"unpack":   {"the files of an image in an OCI layout", unpack},
		"chart":    {"the Helm chart as an archive", packChart},
		"sbom":     {"a CycloneDX bill of materials of a binary", sbom},
		"sums":     {"SHA256SUMS of a directory", sums},
	}
}

func main() {
	all := commands()
	if len(os.Args) < 2 || all[os.Args[1]].run == nil {
		for name, c := range all {
			fmt.Fprintf(os.Stderr, "%-10s %s\n", name, c.about)
		}
		os.Exit(2)
	}
	if err := all[os.Args[1]].run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// flagsOf parses a command's flags.
func flagsOf(name string, args []string, define func(*flag.FlagSet)) error {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	define(set)
	return set.Parse(args)
}

// built is the time that everything in packages and images has, so that equal sources give equal files.
func built() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/oklog/run"

	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light"
)

const reportEvery = 2 * time.Second

// agentCommand is the first argument of a process that is one agent of a cluster.
const agentCommand = "agent"

func main() {
	if len(os.Args) > 1 && os.Args[1] == agentCommand {
		os.Exit(runAgent(os.Args[2:]))
	}
	nodes := flag.Int("nodes", 1, "how many agents: 1 in this process, or 3 or 5 as a cluster of processes, one of which can be killed")
	chaos := flag.String("chaos", "", "an experiment to play on the cluster, as examples/chaos/actor-crash.yaml")
	flag.Parse()
	if flag.NArg() > 0 || *nodes != 1 && *nodes != 3 && *nodes != 5 {
		fmt.Fprintln(os.Stderr, "demo: -nodes is 1, 3 or 5, and there are no arguments")
		os.Exit(2)
	}
	if *chaos != "" && *nodes == 1 {
		fmt.Fprintln(os.Stderr, "demo: -chaos needs -nodes 3 or 5")
		os.Exit(2)
	}
	show := showSingle
	if *nodes > 1 {
		show = clusterOf{*nodes, *chaos}.show
	}
	err := show(context.Background(), os.Stdout)
	var signal run.SignalError
	if err != nil && !errors.As(err, &signal) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Println("Everything is stopped.")
}

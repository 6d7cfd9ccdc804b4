package ringmaster_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func exampleDirectory() string {
	directory, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	return directory
}

// An actor of a larger system spawns a supervisor below itself and hears when a config runs.
func Example() {
	directory := exampleDirectory()
	defer os.RemoveAll(directory)
	system, started := actors.NewSystem(nil), make(chan string, 1)
	var s *ringmaster.Supervisor
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			var err error
			s, err = ringmaster.New(ringmaster.Options{
				Directory: directory, Configs: map[string]string{"self": "scrape_configs: [{job_name: j}]"}, Subscriber: c.Self(),
			})
			if err != nil {
				panic(err)
			}
			c.Spawn(s.Props())
		case messages.UnitStarted:
			started <- m.Unit.String()
		}
	}))
	fmt.Println(<-started, "runs")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(s.Stop(ctx))
	// Output:
	// self runs
	// <nil>
}

// The HTTP API is served under a path of the embedder's own.
func ExampleSupervisor_Handler() {
	directory := exampleDirectory()
	defer os.RemoveAll(directory)
	s, err := ringmaster.New(ringmaster.Options{Directory: directory})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	mux := http.NewServeMux()
	mux.Handle("/scraper/", http.StripPrefix("/scraper", s.Handler()))
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/scraper/-/ready", http.NoBody))
	fmt.Println(answer.Code, "until it is spawned")
	// Output: 503 until it is spawned
}

// A rule breaks what runs, on purpose and for a while.
func ExampleOptions_faults() {
	faults := fault.New(fault.Options{Node: "a"})
	defer faults.Close()
	err := faults.Put(fault.Rule{Name: "full disk", Point: fault.DiskWrite, Action: fault.Error, Error: "ENOSPC", Duration: fault.Duration(time.Minute)})
	fmt.Println(err, len(faults.Rules()))
	_ = ringmaster.Options{Directory: "data", Faults: faults}
	// Output: <nil> 1
}

package web

import (
	"net/http"
	"runtime"
	"strconv"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// Setting is a name with its value, as the page Status shows it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// statusJSON is data of GET /status.
type statusJSON struct {
	Build   []Setting `json:"build"`
	Runtime []Setting `json:"runtime"`
	Limits  []Setting `json:"limits"`
	Flags   []Setting `json:"flags"`
	Late    []string  `json:"late"`
	Config  string    `json:"config,omitempty"`
	ReadAPI bool      `json:"read_api"`
}

// statusPage shows how the process is set up.
func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	data := statusJSON{
		Build: []Setting{
			{"Version", s.opts.Version}, {"Go", runtime.Version()}, {"Platform", runtime.GOOS + "/" + runtime.GOARCH}, {"Node", s.opts.Node},
		},
		Runtime: []Setting{
			{"Running for", pages.Duration(s.opts.Now().Sub(s.started))}, {"Started", pages.Instant(s.started)},
			{"Goroutines", strconv.Itoa(runtime.NumGoroutine())}, {"CPUs", strconv.Itoa(runtime.NumCPU())},
			{"GOMAXPROCS", strconv.Itoa(runtime.GOMAXPROCS(0))}, {"Heap in use", pages.Bytes(memory.HeapInuse)}, {"From the system", pages.Bytes(memory.Sys)},
			{"Collections", strconv.FormatUint(uint64(memory.NumGC), 10)},
		},
		Limits: []Setting{
			{"Largest config", pages.Bytes(uint64(s.opts.MaxConfigBytes))},      //nolint:gosec // greater than 0
			{"Largest remote write", pages.Bytes(uint64(s.opts.MaxWriteBytes))}, //nolint:gosec // greater than 0
			{"Wait for the store", s.opts.StoreTimeout.String()},                //
			{"Wait for other nodes", s.opts.PeerTimeout.String()},               //
			{"Rows of a page", strconv.Itoa(pageRows)},                          //
			{"Items of a listing", "at most " + strconv.Itoa(maxLimit)},         //
			{"Largest list on a page", pages.Bytes(uint64(pages.MaxRowBytes))},  //
		},
		Flags: s.opts.Flags, Late: s.opts.Late(), ReadAPI: s.opts.ReadAPI && s.opts.AgentConfig != nil,
	}
	if data.ReadAPI {
		text, err := s.opts.AgentConfig()
		if err != nil {
			text = "# " + err.Error()
		}
		data.Config = text
	}
	if wantsJSON(r) {
		succeed(w, http.StatusOK, data)
		return
	}
	data.Config = pages.Cut(pages.MaxRowBytes, data.Config)
	s.show(w, r, "status.html", pages.Frame{Title: "Status", Current: "/status", Data: data})
}

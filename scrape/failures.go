package scrape

import (
	"log/slog"
	"sync"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/util/logging"
)

// failureLogs are the files of scrape_failure_log_file, by name. Several jobs may share one.
type failureLogs struct {
	mu    sync.RWMutex
	files map[string]*logging.JSONFileLogger
}

// openFailureLogs opens the files of jobs.
func openFailureLogs(jobs []*promconfig.ScrapeConfig) (map[string]*logging.JSONFileLogger, error) {
	files := map[string]*logging.JSONFileLogger{}
	for _, job := range jobs {
		name := job.ScrapeFailureLogFile
		if name == "" || files[name] != nil {
			continue
		}
		file, err := logging.NewJSONFileLogger(name)
		if err != nil {
			closeFailureLogs(files)
			return nil, err
		}
		files[name] = file
	}
	return files, nil
}

func closeFailureLogs(files map[string]*logging.JSONFileLogger) {
	for _, file := range files {
		_ = file.Close()
	}
}

// replace closes the files in use. They are opened again for each reload, so that they can be rotated.
func (f *failureLogs) replace(files map[string]*logging.JSONFileLogger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	closeFailureLogs(f.files)
	f.files = files
}

// log writes down a failed fetch.
func (f *failureLogs) log(r *attempt, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	file := f.files[r.job.config.ScrapeFailureLogFile]
	if file == nil {
		return
	}
	slog.New(file).Error(err.Error(), "job_name", r.job.config.JobName, "target", r.target.address())
}

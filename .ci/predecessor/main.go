// Command predecessor records what Grafana Agent v0.44 (static mode) does with the corpora of the
// migration tests. It is built of the libraries that the agent was built of, its fork of Prometheus
// and of the YAML library; what stood around them in the agent is written anew here, as little as
// the corpora need:
//
//	go run -C .ci/predecessor . -configs ../../config/testdata/migration -samples ../../actors/pipeline/testdata/agent
//
// In -configs it reads uploads and writes stored, as the agent's API left them in the store, and
// says in back.txt whether the agent would read what Ringmaster stores of these uploads (back). In
// -samples it scrapes the targets as config.yaml says, and writes recorded.txt: the first sample of
// each series that the agent would have sent.
//
// Nothing of this is linked into anything of ours. CI does not run it: task predecessor does.
package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/consul" // discoveries that the corpora use
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/http"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v2"
)

func main() {
	configs := flag.String("configs", "", "corpus of configs")
	samples := flag.String("samples", "", "corpus of targets")
	flag.Parse()
	// As the agent sets them.
	config.DefaultRemoteWriteConfig.SendExemplars = true
	config.DefaultRemoteWriteConfig.QueueConfig.RetryOnRateLimit = true
	if *configs != "" {
		if err := recordConfigs(*configs); err != nil {
			log.Fatal(err)
		}
	}
	if *samples != "" {
		if err := recordSamples(*samples); err != nil {
			log.Fatal(err)
		}
	}
}

// instance has the keys of a stored config.
type instance struct {
	Name                     string                      `yaml:"name,omitempty"`
	HostFilter               bool                        `yaml:"host_filter,omitempty"`
	HostFilterRelabelConfigs []*relabel.Config           `yaml:"host_filter_relabel_configs,omitempty"`
	ScrapeConfigs            []*config.ScrapeConfig      `yaml:"scrape_configs,omitempty"`
	RemoteWrite              []*config.RemoteWriteConfig `yaml:"remote_write,omitempty"`
	WALTruncateFrequency     time.Duration               `yaml:"wal_truncate_frequency,omitempty"`
	MinWALTime               time.Duration               `yaml:"min_wal_time,omitempty"`
	MaxWALTime               time.Duration               `yaml:"max_wal_time,omitempty"`
	RemoteFlushDeadline      time.Duration               `yaml:"remote_flush_deadline,omitempty"`
	WriteStaleOnShutdown     bool                        `yaml:"write_stale_on_shutdown,omitempty"`
}

func read(text []byte) (*instance, error) {
	i := instance{WALTruncateFrequency: time.Hour, MinWALTime: 5 * time.Minute, MaxWALTime: 4 * time.Hour, RemoteFlushDeadline: time.Minute}
	return &i, yaml.UnmarshalStrict(text, &i)
}

// withDefaults checks a config and writes defaults into it, with an empty global block.
func (i *instance) withDefaults() error {
	switch {
	case i.Name == "":
		return errors.New("missing instance name")
	case i.WALTruncateFrequency <= 0, i.RemoteFlushDeadline <= 0, i.MinWALTime > i.MaxWALTime:
		return errors.New("durations of the log")
	}
	jobs := map[string]bool{}
	for _, job := range i.ScrapeConfigs {
		if job == nil || jobs[job.JobName] {
			return errors.New("scrape_configs: empty or repeated")
		}
		jobs[job.JobName] = true
		if job.ScrapeInterval == 0 {
			job.ScrapeInterval = model.Duration(time.Minute)
		}
		if job.ScrapeTimeout > job.ScrapeInterval {
			return errors.New("scrape timeout greater than scrape interval")
		}
		if time.Duration(job.ScrapeInterval) > i.WALTruncateFrequency {
			return errors.New("scrape interval greater than wal_truncate_frequency")
		}
		if job.ScrapeTimeout == 0 {
			job.ScrapeTimeout = min(job.ScrapeInterval, model.Duration(10*time.Second))
		}
	}
	for _, rw := range i.RemoteWrite {
		if rw == nil {
			return errors.New("remote_write: empty")
		}
		if rw.Name == "" {
			text, err := json.Marshal(rw)
			if err != nil {
				return err
			}
			sum := md5.Sum(text)
			rw.Name = i.Name + "-" + hex.EncodeToString(sum[:])[:6]
		}
	}
	return nil
}

// text is a config with its secrets.
func (i *instance) text() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetHook(func(in any) (bool, any, error) {
		switch v := in.(type) {
		case commonconfig.Secret:
			return true, string(v), nil
		case *commonconfig.URL:
			return true, v.String(), nil
		}
		return false, nil, nil
	})
	err := e.Encode(i)
	return b.Bytes(), errors.Join(err, e.Close())
}

func recordConfigs(dir string) error {
	if err := each(filepath.Join(dir, "uploads"), func(name string, upload []byte) error {
		i, err := read(upload)
		if err != nil {
			return err
		}
		i.Name = name
		if err := i.withDefaults(); err != nil {
			return err
		}
		stored, err := i.text()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "stored", name+".yaml"), stored, 0o644)
	}); err != nil {
		return err
	}
	var verdicts strings.Builder
	if err := each(filepath.Join(dir, "back"), func(name string, stored []byte) error {
		i, err := read(stored)
		if err == nil {
			err = i.withDefaults()
		}
		if err != nil {
			fmt.Fprintf(&verdicts, "%s: refused: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
			return nil
		}
		fmt.Fprintf(&verdicts, "%s: runs as %s\n", name, i.Name)
		return nil
	}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "back.txt"), []byte(verdicts.String()), 0o644)
}

// each calls do for each YAML file of a directory, in the order of their names.
func each(dir string, do func(name string, text []byte) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := do(strings.TrimSuffix(filepath.Base(file), ".yaml"), text); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

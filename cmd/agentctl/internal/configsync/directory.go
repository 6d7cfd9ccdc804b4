package configsync

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/ringmaster-agent/ringmaster/config"
)

// File is one config as the directory has it.
type File struct {
	// Name is the config's name: the file's without directory and extension.
	Name string
	Path string
	Text string
	// Err is why it can't be used; Text may be empty then.
	Err error
}

// ReadDirectory reads and validates every *.yaml and *.yml of dir (which may be a symbolic link),
// in lexical order. Files whose names begin with a dot, and directories, are left out. What is
// wrong with one file is in its Err; the error says that the directory itself can't be read.
func ReadDirectory(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	index := map[string]int{}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		f := File{Name: strings.TrimSuffix(e.Name(), ext), Path: filepath.Join(dir, e.Name())}
		if isDirectory(f.Path) {
			continue
		}
		if i, twice := index[f.Name]; twice {
			// Neither is right, and the stored config is not to be touched.
			files[i].Err = fmt.Errorf("%s has the same name; remove one of the two", f.Path)
			continue
		}
		index[f.Name] = len(files)
		files = append(files, f)
	}
	readAll(files)
	return files, nil
}

// readAll reads and validates the files without an error, on all processors: 10,000 take seconds of
// one.
func readAll(files []File) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range files {
		f := &files[i]
		if f.Err != nil {
			continue
		}
		group.Go(func() error {
			if f.Text, f.Err = read(f.Path); f.Err == nil {
				f.Err = validate(*f)
			}
			return nil
		})
	}
	_ = group.Wait() // what is wrong with a file is said there
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func read(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// validate finds early, and with the file's name and line, what the agent would refuse. What
// depends on the agent's own settings is left to it: whether files may be read, and how a timeout
// compares with the global interval.
func validate(f File) error {
	lenient := *config.DefaultGlobal()
	lenient.Prometheus.ScrapeInterval = model.Duration(math.MaxInt64)
	_, _, _, err := config.ParseUpload(f.Name, f.Text, config.InstanceOptions{
		Global: &lenient, AllowFiles: true, AllowAmbient: true, ForeignDiscoveries: true, Origin: f.Path,
	})
	return err
}

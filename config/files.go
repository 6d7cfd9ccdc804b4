package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// namesFile says whether a key of a scrape config, a discovery or a remote_write has the agent read a file of its machine (or, for
// scrape_failure_log_file, write one). Whatever sounds like one is taken for one, profile of the AWS blocks included, which picks
// from the machine's credentials file. The exceptions are paths of URLs and of ZooKeeper.
func namesFile(key string) bool {
	switch key {
	case "metrics_path", "path_prefix", "paths":
		return false
	}
	return strings.Contains(key, "file") || strings.Contains(key, "path") || slices.Contains(strings.Split(key, "_"), "dir")
}

// forbidFiles reports each key below n, which is decoded as t, that names a file.
func (d *document) forbidFiles(n *yaml.Node, t reflect.Type) {
	d.schema.visit(n, t, func(k keyAt) bool {
		if k.free || !namesFile(k.key.Value) || isEmpty(k.value) {
			return true
		}
		d.fail(k.value, "an uploaded config may not name files of the agent's machine",
			"write the value itself, or set scraping_service.dangerous_allow_reading_files on the agents")
		return false
	})
}

// isEmpty says whether a value is there but says nothing, as in values that a program wrote out.
func isEmpty(n *yaml.Node) bool {
	return isNull(n) || n.Value == "" && len(n.Content) == 0
}

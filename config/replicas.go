package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// replicaPattern matches what stands for a replica's number in a replica label.
const replicaPattern = `\{\{ *replica *\}\}`

// defaultReplicaLabels are what receivers with HA deduplication look for, beside a label for the
// cluster, which is one of external_labels.
func defaultReplicaLabels() map[string]string {
	return map[string]string{"__replica__": "replica-{{replica}}"}
}

// WithReplicaLabels returns the labels that one replica of a config, counted from 0, adds to
// everything it sends: the external ones and, if configs are replicated, ReplicaLabels with the
// number filled in, which win over external ones of the same name.
func (s ScrapingService) WithReplicaLabels(external labels.Labels, replica int) labels.Labels {
	if s.Lifecycler.Ring.ReplicationFactor <= 1 {
		return external
	}
	placeholder := regexp.MustCompile(replicaPattern)
	b := labels.NewBuilder(external)
	for name, value := range s.ReplicaLabels {
		b.Set(name, placeholder.ReplaceAllLiteralString(value, strconv.Itoa(replica)))
	}
	return b.Labels()
}

func (d *document) replicaLabels(n *yaml.Node, scheme model.ValidationScheme) {
	placeholder := regexp.MustCompile(replicaPattern)
	for key, value := range pairs(n) {
		switch rest := placeholder.ReplaceAllLiteralString(value.Value, ""); {
		case d.bad[key] || d.bad[value]:
		case !scheme.IsValidLabelName(key.Value):
			d.fail(key, fmt.Sprintf("%q is not a label name", key.Value), "use letters, digits and _, no digit first")
		case key.Value == model.MetricNameLabel:
			d.fail(key, "this label is the name of the metric", "use another")
		case isEmpty(value):
			d.fail(value, "the label has no value", "write it like replica-{{replica}}, in quotes")
		case strings.Contains(rest, "{{") || strings.Contains(rest, "}}"):
			d.fail(value, "only {{replica}} can be filled in", "write it like replica-{{replica}}, in quotes")
		}
	}
}

// replicaWarnings tell of labels that do nothing, and of replicas that have the same ones.
func (d *document) replicaWarnings(service *yaml.Node, s ScrapingService) []string {
	const path = "metrics.scraping_service.replica_labels"
	where, given := at(service, "replica_labels")
	switch replicated := s.Lifecycler.Ring.ReplicationFactor > 1; {
	case given && !replicated:
		return []string{d.warning(where, path+" has no effect: lifecycler.ring.replication_factor is 1")}
	case replicated && !slices.ContainsFunc(slices.Collect(maps.Values(s.ReplicaLabels)), regexp.MustCompile(replicaPattern).MatchString):
		return []string{d.warning(where, path+": no value has {{replica}}, so a receiver can't tell the replicas of a config apart")}
	}
	return nil
}

package scrape

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
)

func TestHostFilterKeepsTargetsOfThisHost(t *testing.T) {
	for name, test := range map[string]struct {
		target, common model.LabelSet
		kept           bool
	}{
		"the address is this host":            {target: model.LabelSet{"__address__": "here:9100"}, kept: true},
		"the address without a port":          {target: model.LabelSet{"__address__": "here"}, kept: true},
		"another host":                        {target: model.LabelSet{"__address__": "there:9100"}},
		"a host whose name begins the same":   {target: model.LabelSet{"__address__": "here2:9100"}},
		"localhost":                           {target: model.LabelSet{"__address__": "localhost:1"}, kept: true},
		"IPv4 loopback":                       {target: model.LabelSet{"__address__": "127.0.0.1:1"}, kept: true},
		"another IPv4 loopback":               {target: model.LabelSet{"__address__": "127.9.9.9"}, kept: true},
		"IPv6 loopback":                       {target: model.LabelSet{"__address__": "[::1]:1"}, kept: true},
		"another address":                     {target: model.LabelSet{"__address__": "10.0.0.1:1"}},
		"no address is for the loop to judge": {target: model.LabelSet{"x": "y"}, kept: true},
		"consul node":                         {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_consul_node": "here"}, kept: true},
		"swarm node id":                       {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_dockerswarm_node_id": "here"}, kept: true},
		"swarm node name":                     {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_dockerswarm_node_hostname": "here"}, kept: true},
		"swarm node address":                  {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_dockerswarm_node_address": "here:2377"}, kept: true},
		"kubernetes pod's node":               {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_kubernetes_pod_node_name": "here"}, kept: true},
		"kubernetes node":                     {target: model.LabelSet{"__address__": "10.0.0.1:1", "__meta_kubernetes_node_name": "here"}, kept: true},
		"__host__ of the group":               {target: model.LabelSet{"__address__": "10.0.0.1:1"}, common: model.LabelSet{"__host__": "here"}, kept: true},
		"the target's label wins":             {target: model.LabelSet{"__address__": "10.0.0.1:1", "__host__": "there"}, common: model.LabelSet{"__host__": "here"}},
		"an unrelated label":                  {target: model.LabelSet{"__address__": "10.0.0.1:1", "node": "here"}},
	} {
		t.Run(name, func(t *testing.T) {
			group := &targetgroup.Group{Targets: []model.LabelSet{test.target}, Labels: test.common, Source: "s"}
			kept := (&HostFilter{Host: "here"}).apply([]*targetgroup.Group{group})
			require.Len(t, kept, 1)
			require.Equal(t, "s", kept[0].Source)
			require.Equal(t, test.common, kept[0].Labels)
			require.Equal(t, test.kept, len(kept[0].Targets) == 1)
			require.Len(t, group.Targets, 1, "the discovery's group is left alone")
		})
	}
}

func TestHostFilterRelabelsBeforeItCompares(t *testing.T) {
	node := &relabel.Config{
		SourceLabels: model.LabelNames{"node"}, Regex: relabel.MustNewRegexp("(.+)"), TargetLabel: "__host__", Replacement: "$1",
		Action: relabel.Replace, NameValidationScheme: model.UTF8Validation,
	}
	dropped := &relabel.Config{
		SourceLabels: model.LabelNames{"skip"}, Regex: relabel.MustNewRegexp("yes"), Action: relabel.Drop,
		NameValidationScheme: model.UTF8Validation,
	}
	filter := &HostFilter{Host: "here", Relabel: []*relabel.Config{node, dropped}}
	kept := filter.apply([]*targetgroup.Group{{Targets: []model.LabelSet{
		{"__address__": "10.0.0.1:1", "node": "here"},
		{"__address__": "10.0.0.2:1", "node": "there"},
		{"__address__": "localhost:1", "skip": "yes"},
	}}})
	require.Equal(t, []model.LabelSet{{"__address__": "10.0.0.1:1", "node": "here"}}, kept[0].Targets, "labels are as discovered")
}

func TestHostFilterAppliesToTheTargetsOfAScraper(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	config := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0, "there:1"]}]}]`, target)
	config.HostFilter = &HostFilter{Host: "here"}
	require.NoError(t, s.Apply(t.Context(), config))
	require.Len(t, s.Targets(), 1)
	require.NoError(t, s.Start())
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "a scrape")
	require.Len(t, s.Targets(), 1)
}

func TestNoHostFilterKeepsEverything(t *testing.T) {
	groups := []*targetgroup.Group{{Targets: []model.LabelSet{{"__address__": "there:1"}}}}
	require.Equal(t, groups, (*HostFilter)(nil).apply(groups))
}

package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// verdict is what a value of a config is to the machine and to those who look on. Every key that
// the schema knows has one, in verdicts.go. A key that has none is treated as the worst of them:
// uploaded configs may not use it, and it is not shown.
type verdict uint8

const (
	unjudged   verdict = iota
	shown              // reaches nothing, and is no secret
	address            // where something is to be found on the network: no local sockets; shown without user and parameters
	secret             // reaches nothing, and is never shown
	parameters         // of a URL, by name: shown as redact.Parameter says
	headers            // of a request, by name: shown as redact.Header says
	labelSet           // of targets, by name: shown as redact.Label says
	rewritten          // what a relabelling rule compares and writes: shown if the label it writes is
	file               // has the agent read a file of its machine, or write one
	ambient            // uses the environment or the identity of the machine
	executed           // has the agent execute a program
	metadata           // asks the metadata service of the machine
)

// needs says which capability a verdict asks for; empty: none.
func (v verdict) needs() string {
	switch v {
	case file:
		return "an uploaded config may not name files of the agent's machine"
	case ambient:
		return "an uploaded config may not use the environment or the identity of the agent's machine"
	case executed:
		return "an uploaded config may not have the agent execute a program"
	case metadata:
		return "an uploaded config may not use the metadata service of the agent's machine"
	case unjudged:
		return "nobody has judged yet what this key reaches, so an uploaded config may not use it"
	}
	return ""
}

// What a user may do about a refusal.
const (
	hintFiles   = "write the value itself, or set scraping_service.dangerous_allow_reading_files on the agents"
	hintAmbient = "write the values themselves, or set scraping_service.allow_ambient_credentials on the agents"
)

// forbid reports each key below n, which is decoded as t, that reaches more of the machine than the
// options allow.
func (d *document) forbid(n *yaml.Node, t reflect.Type, o InstanceOptions) {
	d.forbidFallback(n, t, o)
	d.schema.visit(n, t, func(k keyAt) bool {
		if k.t == nil {
			return false // the structure is told to be wrong
		}
		switch v := k.verdict; {
		case isEmpty(k.value) && k.value.Kind != yaml.MappingNode: // {} is a block in which everything is left to the machine
		case k.free:
			if k.key.Value == unixSocketLabel && !o.AllowAmbient {
				d.fail(k.value, "an uploaded config may not reach local sockets", hintAmbient)
			}
		case v == file && !o.AllowFiles:
			d.fail(k.value, v.needs(), hintFiles)
			return false
		case (v == ambient || v == executed || v == metadata || v == unjudged) && !o.AllowAmbient && !isFalse(k.value):
			d.fail(k.value, v.needs(), hintAmbient)
			return false
		case v == address && !o.AllowAmbient:
			d.forbidLocal(k.value)
		case k.key.Value == "target_label" && k.value.Value == unixSocketLabel && !o.AllowAmbient:
			d.fail(k.value, "an uploaded config may not reach local sockets", hintAmbient)
		}
		d.forbidFallback(k.value, k.t, o)
		return true
	})
}

// unixSocketLabel is the label of a target behind a socket. The scrape refuses it whoever sets it;
// a config that sets it for all to see is refused earlier.
const unixSocketLabel = "__unix_socket__"

// forbidLocal reports addresses that are not on the network, and that of the metadata service.
func (d *document) forbidLocal(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			d.forbidLocal(item)
		}
		return
	}
	switch {
	case isLocalSocket(n.Value):
		d.fail(n, "an uploaded config may not reach local sockets", hintAmbient)
	case isMetadataService(n.Value):
		d.fail(n, metadata.needs(), hintAmbient)
	}
}

// isLocalSocket says whether an address has a scheme of something else than the network.
func isLocalSocket(text string) bool {
	scheme, _, found := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	return strings.HasPrefix(text, "/") && len(text) > 1 ||
		found && slices.Contains([]string{"unix", "unixgram", "unixpacket", "unix-abstract", "npipe", "fd", "file", "ssh", "vsock"}, scheme)
}

// isFalse says whether a switch is off.
func isFalse(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && n.Value == "false"
}

// forbidFallback reports blocks that lack a value which would then be taken from the machine.
func (d *document) forbidFallback(n *yaml.Node, t reflect.Type, o InstanceOptions) {
	if o.AllowAmbient {
		return
	}
	sh := d.schema.of(t)
	if n.Kind == yaml.SequenceNode && sh.form == formList {
		for _, item := range n.Content {
			d.forbidFallback(item, sh.elem, o)
		}
		return
	}
	if n.Kind != yaml.MappingNode || sh.form != formStruct || d.bad[n] {
		return
	}
	for _, alternatives := range needed(sh.owner) {
		if !slices.ContainsFunc(alternatives, func(key string) bool { return isSet(n, key) }) {
			d.fail(n, ambient.needs()+", and without "+strings.Join(alternatives, " or ")+" it would", hintAmbient)
			return
		}
	}
	if key, harmless := chosen(sh.owner); key != "" && isSet(n, key) && !slices.Contains(harmless, child(n, key).Value) {
		d.fail(child(n, key), ambient.needs(), "use "+strings.Join(harmless, " or ")+", or set scraping_service.allow_ambient_credentials on the agents")
	}
}

func isSet(n *yaml.Node, key string) bool {
	value := child(n, key)
	return value != nil && !isEmpty(value)
}

// needed lists, for the blocks of a type, the keys of which one of each group has to be there so
// that nothing of the machine takes its place.
func needed(owner string) [][]string {
	switch owner {
	case "aws.SDConfig", "aws.EC2SDConfig", "aws.ECSSDConfig", "aws.ElasticacheSDConfig", "aws.LightsailSDConfig", "aws.MSKSDConfig", "aws.RDSSDConfig",
		"sigv4.SigV4Config":
		return [][]string{{"access_key"}, {"secret_key"}, {"region"}}
	case "googleiam.Config":
		return [][]string{{"credentials_file"}}
	case "kubernetes.SDConfig":
		return [][]string{{"api_server", "kubeconfig_file"}}
	case "openstack.SDConfig":
		return [][]string{{"identity_endpoint"}}
	case "gce.SDConfig":
		return [][]string{{"credentials: it can't have any of its own"}}
	}
	return nil
}

// chosen is the key of a type by which a way to authenticate is chosen, and its values that use
// nothing of the machine.
func chosen(owner string) (key string, harmless []string) {
	switch owner {
	case "azure.SDConfig":
		return "authentication_method", []string{"OAuth"}
	case "oci.SDConfig":
		return "auth", []string{"api_key"}
	}
	return "", nil
}

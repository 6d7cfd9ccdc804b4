package config

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// anything writes configs of random fields of the schema with random values, of which many have the
// wrong shape.
type anything struct {
	schema *schema
	rnd    *rand.Rand
}

func (a anything) block(t reflect.Type, depth int) *yaml.Node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	sh := a.schema.of(t)
	if a.rnd.IntN(12) == 0 || depth > 8 {
		return a.wrong()
	}
	n := &yaml.Node{}
	switch sh.form {
	case formStruct:
		n.Kind = yaml.MappingNode
		var keys []string
		for key := range sh.fields {
			keys = append(keys, key)
		}
		slices.Sort(keys) // so that a seed is one config
		for range a.rnd.IntN(4) {
			if key := keys[a.rnd.IntN(len(keys))]; child(n, key) == nil {
				n.Content = append(n.Content, scalar(key), a.block(sh.fields[key], depth+1))
			}
		}
		for _, must := range [][2]string{{"job_name", "a"}, {"url", "http://h/"}} {
			if sh.fields[must[0]] != nil && child(n, must[0]) == nil && a.rnd.IntN(10) > 0 {
				n.Content = append(n.Content, scalar(must[0]), scalar(must[1]))
			}
		}
	case formMap:
		n.Kind = yaml.MappingNode
		for _, key := range []string{"a", "X-B"}[:a.rnd.IntN(3)] {
			n.Content = append(n.Content, scalar(key), a.block(sh.elem, depth+1))
		}
	case formList:
		n.Kind = yaml.SequenceNode
		for range a.rnd.IntN(3) {
			n.Content = append(n.Content, a.block(sh.elem, depth+1))
		}
	default:
		values := []string{"a", "1", "true", "5m", "http://u:p@h/?a=b", "", "-1", "h:80", "{}", "0x1F", "~", "1e400", "é", "OAuth", "replace", "(.*"}
		return &yaml.Node{Kind: yaml.ScalarNode, Value: values[a.rnd.IntN(len(values))]}
	}
	return n
}

// wrong is a value of a shape that hardly fits.
func (a anything) wrong() *yaml.Node {
	switch a.rnd.IntN(5) {
	case 0:
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("jar"), scalar("x")}}
	case 1:
		return &yaml.Node{Kind: yaml.MappingNode}
	case 2:
		return &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{scalar("x"), {Kind: yaml.SequenceNode}}}
	case 3:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "~"}
	}
	return scalar("\x01")
}

// configsPerSeed is how many configs one execution of the fuzzer tries: what the fuzzer does around
// each execution takes as long as ten of them.
const configsPerSeed = 50

// Whatever is written into whichever field, it is taken or refused: nothing panics, and what is
// taken can be shown.
func FuzzEveryFieldOfTheSchema(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	known := newSchema()
	f.Fuzz(func(t *testing.T, seed uint64) {
		for number := range uint64(configsPerSeed) {
			a := anything{known, rand.New(rand.NewPCG(seed, number))}
			text, err := yaml.Marshal(a.block(reflect.TypeFor[instanceFile](), 0))
			if err == nil {
				takeOrRefuse(t, string(text))
			}
		}
	})
}

func takeOrRefuse(t *testing.T, text string) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%v; the config is:\n%s", p, text)
			panic(p)
		}
	}()
	for _, opts := range []InstanceOptions{limited(nil), {AllowFiles: true, AllowAmbient: true}} {
		i, err := ParseInstance("app", text, opts)
		if err == nil {
			_, _ = i.Masked(), i.Secrets()
		}
		if outline, refused := OutlineInstance("app", text, opts); !reflect.DeepEqual(err, refused) {
			t.Errorf("the node that runs it says %v, others %v; the config is:\n%s", err, refused, text)
		} else if err == nil && outline.Digest() != i.Digest() {
			t.Errorf("its digests differ; the config is:\n%s", text)
		}
	}
}

// What no user can write, such as the HTTP client in a public field of DigitalOcean's discovery, is
// an unknown key.
func TestAFieldThatNobodyCanWriteIsNoKey(t *testing.T) {
	for _, k := range everyKey() {
		if !canBeWritten(k.value) {
			t.Errorf("%s of %s is a %s", k.key, k.owner, k.value)
		}
	}
	_, err := ParseInstance("app", "scrape_configs: [{job_name: a, digitalocean_sd_configs: [{bearer_token: x, httpclient: {jar: x}}]}]", InstanceOptions{})
	if err == nil {
		t.Error("it is taken")
	}
}

package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// form is the shape of YAML a Go type is decoded from.
type form uint8

const (
	formLeaf   form = iota + 1 // a single value; also a type with a decoder of its own whose shape is unknown
	formStruct                 // a block with known keys
	formMap                    // a block with any keys
	formList                   // a list
	formAny                    // anything goes: no Go type says more
)

// shape is what the schema knows of one Go type.
type shape struct {
	form form
	// fields are the types of a formStruct's keys.
	fields map[string]reflect.Type
	// owners are the names of the Go types that declare the keys, such as kubernetes.SDConfig; see
	// judge.
	owners map[string]string
	// verdicts are the verdicts on the keys.
	verdicts map[string]verdict
	// owner is the name of the type itself.
	owner string
	// elem is the type of the values of a formMap or formList.
	elem reflect.Type
	// ours says that the type is of this package and not one that Prometheus decodes.
	ours bool
	// retired are keys that are accepted without an effect, and renamed those that have another
	// name today.
	retired, renamed map[string]string
}

// schema derives shapes from Go types by the rules of the YAML decoder.
type schema struct{}

func newSchema() *schema { return &schema{} }

// shapes are the shapes that were derived, by reflect.Type. A program's types do not change, nor does
// the set of linked discoveries once Prometheus has built the type of scrape configs from it. To derive
// the shapes for each config took a quarter of the time in which it was checked.
var shapes sync.Map

// staticGroup is how a target group is written; Prometheus' own type decodes it by hand.
type staticGroup struct {
	Targets []string       `yaml:"targets"`
	Labels  model.LabelSet `yaml:"labels"`
}

// of returns the shape of a type. Pointers don't matter.
func (s *schema) of(t reflect.Type) shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := shapes.Load(t); ok {
		return known.(shape)
	}
	made := derive(t)
	made.retired, made.renamed = keysWithoutEffect(t), renamedKeys(t)
	made.verdicts = make(map[string]verdict, len(made.fields))
	for key := range made.fields {
		made.verdicts[key] = judge(made.owners[key], key)
	}
	shapes.Store(t, made)
	return made
}

func derive(t reflect.Type) shape {
	switch t {
	case reflect.TypeFor[labels.Labels]():
		return shape{form: formMap, elem: reflect.TypeFor[string]()}
	case reflect.TypeFor[promconfig.ScrapeConfig]():
		return scrapeConfigShape()
	case reflect.TypeFor[endpointFile]():
		// Prometheus decodes it, so that a key without a value means what it means to Prometheus.
		fields, owners, _ := structFields(t)
		return shape{form: formStruct, fields: fields, owners: owners, owner: typeName(t)}
	}
	switch t.Kind() {
	case reflect.Struct:
		if hasDecoder(t) && !hasTags(t) {
			return shape{form: formLeaf}
		}
		fields, owners, rest := structFields(t)
		if rest != nil {
			return shape{form: formMap, elem: rest}
		}
		ours := t.PkgPath() == reflect.TypeFor[shape]().PkgPath() && t != reflect.TypeFor[staticGroup]()
		return shape{form: formStruct, fields: fields, owners: owners, owner: typeName(t), ours: ours}
	case reflect.Map:
		return shape{form: formMap, elem: t.Elem()}
	case reflect.Slice:
		return shape{form: formList, elem: t.Elem()}
	case reflect.Interface:
		return shape{form: formAny}
	default:
		return shape{form: formLeaf}
	}
}

// scrapeConfigShape asks Prometheus for the struct it builds at run time, with a field for each
// linked discovery. Its MarshalYAML returns a value of that type.
func scrapeConfigShape() shape {
	var empty promconfig.ScrapeConfig
	built, err := empty.MarshalYAML()
	if err != nil {
		panic(fmt.Sprintf("prometheus can't marshal an empty scrape config: %v", err))
	}
	fields, owners, _ := structFields(reflect.TypeOf(built).Elem())
	fields["static_configs"] = reflect.TypeFor[[]staticGroup]()
	return shape{form: formStruct, fields: fields, owners: owners, owner: discoveryOwner}
}

// discoveryOwner is the owner of the keys of discoveries: Prometheus makes the type that declares
// them at run time.
const discoveryOwner = "config.ScrapeConfig"

// typeName is a type's name behind the last part of its package's path, which is enough to tell
// apart what configs are made of.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return discoveryOwner
	}
	return path.Base(t.PkgPath()) + "." + t.Name()
}

// structFields lists the keys a struct is decoded from, with the names of the types that declare
// them. rest is the element type of an inlined map, which takes all other keys.
func structFields(t reflect.Type) (fields map[string]reflect.Type, owners map[string]string, rest reflect.Type) {
	fields, owners = map[string]reflect.Type{}, map[string]string{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		inline := strings.Contains(options, "inline")
		switch {
		case !canBeWritten(field.Type): // else it would be one of Go's, such as the http.Client of DigitalOcean's
			continue
		case name == "-", field.PkgPath != "" && !field.Anonymous:
			continue
		case inline && field.Type.Kind() == reflect.Map:
			rest = field.Type.Elem()
		case inline:
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			below, declared, _ := structFields(inner)
			maps.Copy(fields, below)
			maps.Copy(owners, declared)
		default:
			key := cmp.Or(name, strings.ToLower(field.Name))
			fields[key], owners[key] = field.Type, typeName(t)
		}
	}
	return fields, owners, rest
}

// canBeWritten says whether there is anything that a user could write for a value of the type.
func canBeWritten(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false
	case reflect.Interface:
		return t.NumMethod() == 0
	}
	return t != reflect.TypeFor[http.Client]()
}

func hasDecoder(t reflect.Type) bool {
	_, yes := reflect.PointerTo(t).MethodByName("UnmarshalYAML")
	return yes
}

func hasTags(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

// keyAt is a key and its value somewhere in a tree.
type keyAt struct {
	// in is the block that the key is in.
	in, key, value *yaml.Node
	// t is the type of the value, nil where the schema knows none.
	t reflect.Type
	// free: the key is any word of the user's, not a name the schema knows.
	free bool
	// verdict is of the key, or of the map that a free key is in.
	verdict verdict
}

// visit calls f for each key below n, which is decoded as t. f says whether to go on below the value.
func (s *schema) visit(n *yaml.Node, t reflect.Type, f func(k keyAt) bool) {
	s.visitBelow(n, t, unjudged, f)
}

// visitBelow goes on below a key with a verdict, which is that of a map's keys, too.
func (s *schema) visitBelow(n *yaml.Node, t reflect.Type, above verdict, f func(k keyAt) bool) {
	var sh shape
	if t != nil {
		sh = s.of(t)
	}
	for key, value := range pairs(n) {
		k := keyAt{in: n, key: key, value: value, t: sh.elem, free: sh.form == formMap, verdict: above}
		if sh.form == formStruct {
			k.t, k.verdict = sh.fields[key.Value], sh.verdicts[key.Value]
		}
		if f(k) {
			s.visitBelow(value, k.t, k.verdict, f)
		}
	}
	for _, item := range listed(n) {
		s.visitBelow(item, sh.elem, above, f)
	}
}

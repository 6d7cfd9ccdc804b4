package config

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

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
	// elem is the type of the values of a formMap or formList.
	elem reflect.Type
}

// schema derives shapes from Go types by the rules of the YAML decoder. One is made for each document: the set of
// linked discoveries is Prometheus' global state, of which no copy is kept.
type schema struct {
	shapes map[reflect.Type]shape
}

func newSchema() *schema { return &schema{shapes: map[reflect.Type]shape{}} }

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
	if known, ok := s.shapes[t]; ok {
		return known
	}
	made := derive(t)
	s.shapes[t] = made
	return made
}

func derive(t reflect.Type) shape {
	switch t {
	case reflect.TypeFor[labels.Labels]():
		return shape{form: formMap, elem: reflect.TypeFor[string]()}
	case reflect.TypeFor[promconfig.ScrapeConfig]():
		return scrapeConfigShape()
	}
	switch t.Kind() {
	case reflect.Struct:
		if hasDecoder(t) && !hasTags(t) {
			return shape{form: formLeaf}
		}
		fields, rest := structFields(t)
		if rest != nil {
			return shape{form: formMap, elem: rest}
		}
		return shape{form: formStruct, fields: fields}
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

// scrapeConfigShape asks Prometheus for the struct it builds at run time, with a field for each linked discovery. Its
// MarshalYAML returns a value of that type.
func scrapeConfigShape() shape {
	var empty promconfig.ScrapeConfig
	built, err := empty.MarshalYAML()
	if err != nil {
		panic(fmt.Sprintf("prometheus can't marshal an empty scrape config: %v", err))
	}
	fields, _ := structFields(reflect.TypeOf(built).Elem())
	fields["static_configs"] = reflect.TypeFor[[]staticGroup]()
	return shape{form: formStruct, fields: fields}
}

// structFields lists the keys a struct is decoded from. rest is the element type of an inlined map, which takes all other keys.
func structFields(t reflect.Type) (fields map[string]reflect.Type, rest reflect.Type) {
	fields = map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		inline := strings.Contains(options, "inline")
		switch {
		case name == "-", field.PkgPath != "" && !field.Anonymous:
			continue
		case inline && field.Type.Kind() == reflect.Map:
			rest = field.Type.Elem()
		case inline:
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			below, _ := structFields(inner)
			maps.Copy(fields, below)
		case name == "":
			fields[strings.ToLower(field.Name)] = field.Type
		default:
			fields[name] = field.Type
		}
	}
	return fields, rest
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
	key, value *yaml.Node
	// t is the type of the value, nil where the schema knows none.
	t reflect.Type
	// free: the key is any word of the user's, not a name the schema knows.
	free bool
}

// visit calls f for each key below n, which is decoded as t. f says whether to go on below the value.
func (s *schema) visit(n *yaml.Node, t reflect.Type, f func(k keyAt) bool) {
	var sh shape
	if t != nil {
		sh = s.of(t)
	}
	for key, value := range pairs(n) {
		below := sh.elem
		if sh.form == formStruct {
			below = sh.fields[key.Value]
		}
		if f(keyAt{key: key, value: value, t: below, free: sh.form == formMap}) {
			s.visit(value, below, f)
		}
	}
	for _, item := range listed(n) {
		s.visit(item, sh.elem, f)
	}
}

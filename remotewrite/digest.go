package remotewrite

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"reflect"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/relabel"
)

// digest identifies a configuration by its content, secrets included. Marshalling would hide
// secrets, and reflect.DeepEqual calls two equal proxy settings different once one of them was
// used, because a function is kept in it.
type digest [sha256.Size]byte

// short is enough of a digest to tell one's own configurations apart.
func (d digest) short() uint64 { return binary.LittleEndian.Uint64(d[:]) }

// digestOf hashes values of configuration structs: what pointers point to counts, functions don't.
func digestOf(values ...any) digest {
	d := digester{h: sha256.New()}
	for _, v := range values {
		d.value(reflect.ValueOf(v))
	}
	return digest(d.h.Sum(nil))
}

type digester struct{ h hash.Hash }

func (d digester) number(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	d.h.Write(b[:])
}

// flag, like all of these, writes as many bytes for each value, or their number first: no two
// values have one encoding of which one begins with the other.
func (d digester) flag(b bool) {
	if b {
		d.number(1)
	} else {
		d.number(0)
	}
}

func (d digester) text(s string) {
	d.number(uint64(len(s)))
	d.h.Write([]byte(s))
}

func (d digester) value(v reflect.Value) {
	d.number(uint64(v.Kind()))
	switch v.Kind() {
	case reflect.String:
		d.text(v.String())
	case reflect.Bool:
		d.flag(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.number(v.Uint())
	case reflect.Pointer, reflect.Interface:
		d.flag(v.IsNil())
		if !v.IsNil() {
			d.text(v.Elem().Type().String())
			d.value(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		d.flag(v.Kind() == reflect.Slice && v.IsNil())
		d.number(uint64(v.Len()))
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Map:
		d.fields(v)
	case reflect.Struct:
		// A compiled expression is its source; the machine behind it changes with use.
		d.text(v.Type().String())
		if r, ok := regexpOf(v); ok {
			d.text(r.String())
			return
		}
		d.number(uint64(v.NumField()))
		for i := range v.NumField() {
			d.value(v.Field(i))
		}
	}
}

// fields hashes a map in the order of its keys, which are strings in all configuration structs.
func (d digester) fields(v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	d.number(uint64(len(keys)))
	for _, k := range keys {
		d.text(k.String())
		d.value(v.MapIndex(k))
	}
}

func regexpOf(v reflect.Value) (relabel.Regexp, bool) {
	if !v.CanInterface() {
		return relabel.Regexp{}, false
	}
	r, ok := v.Interface().(relabel.Regexp)
	return r, ok && r.Regexp != nil
}

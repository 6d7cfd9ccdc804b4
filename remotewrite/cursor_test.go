package remotewrite

import (
	"reflect"
	"slices"
	"testing"

	"github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

func TestAnIdentitySurvivesWhatIsNoRepair(t *testing.T) {
	block := func(name, url string) *promconfig.RemoteWriteConfig {
		cfg := writeConfig(t, url)
		cfg.Name = name
		return cfg
	}
	ids := func(configs ...*promconfig.RemoteWriteConfig) []string { return CursorIDs("app", configs) }

	before := ids(block("mine", "http://a/"), block("app-0a1b2c", "http://u:one@b/"), block("app-ffffff", "http://u:one@b/"))
	after := ids(block("mine", "http://a/"), block("app-999999", "http://u:two@b/"), block("app-888888", "http://u:two@b/"))
	require.Equal(t, before, after, "another password, and names that nobody gave")
	require.Len(t, map[string]bool{before[0]: true, before[1]: true, before[2]: true}, 3)
	for _, id := range before {
		require.Regexp(t, `^[a-z0-9.-]{1,90}$`, id)
	}
	require.NotEqual(t, ids(block("app-1", "http://a/")), ids(block("app-2", "http://a/")), "these are names a person gave")
}

func TestABlockThatAPersonRepairedGoesOnFromItsPlace(t *testing.T) {
	block := func(name, url, tenant string) *promconfig.RemoteWriteConfig {
		cfg := writeConfig(t, url)
		cfg.Name = name
		if tenant != "" {
			cfg.Headers = map[string]string{"X-Scope-OrgID": tenant}
		}
		return cfg
	}
	type blocks []*promconfig.RemoteWriteConfig
	for _, c := range []struct {
		name          string
		before, after blocks
		from          []int // for each block of after: the one of before that it goes on from; -1 none
	}{
		{"nothing changed", blocks{block("", "http://a/", ""), block("", "http://b/", "")}, blocks{block("", "http://b/", ""), block("", "http://a/", "")}, []int{1, 0}},
		{"the path was wrong", blocks{block("", "http://a/wrong", ""), block("", "http://b/", "")}, blocks{block("", "http://a/right", ""), block("", "http://b/", "")}, []int{0, 1}},
		{"a name was added", blocks{block("", "http://a/", ""), block("", "http://b/", "")}, blocks{block("", "http://a/", ""), block("mimir", "http://b/", "")}, []int{0, 1}},
		{"a name was changed", blocks{block("x", "http://a/", "")}, blocks{block("y", "http://a/", "")}, []int{0}},
		{"a named block moved to another host", blocks{block("x", "http://a/", ""), block("", "http://b/", "")}, blocks{block("x", "http://c/", ""), block("", "http://b/", "")}, []int{0, 1}},
		{"the first of two tenants is removed", blocks{block("", "http://a/", "1"), block("", "http://a/", "2")}, blocks{block("", "http://a/", "2")}, []int{1}},
		{"the host changed", blocks{block("", "http://a/", "")}, blocks{block("", "http://b/x", "")}, []int{0}},
		{"one is new", blocks{block("", "http://a/", "")}, blocks{block("", "http://a/", ""), block("", "http://b/", "")}, []int{0, -1}},
		{"one is gone", blocks{block("", "http://a/", ""), block("", "http://b/", "")}, blocks{block("", "http://b/", "")}, []int{1}},
	} {
		known := CursorIDs("app", c.before)
		ids, inherited := CursorIDs("app", c.after), Inherit("app", c.after, known)
		for i, from := range c.from {
			got := inherited[ids[i]]
			if slices.Contains(known, ids[i]) {
				got = ids[i]
			}
			want := ""
			if from >= 0 {
				want = known[from]
			}
			require.Equal(t, want, got, "%s: block %d", c.name, i)
		}
	}
	after := blocks{block("x", "http://a/", ""), block("", "http://b/", ""), block("", "http://b/", "")}
	ids, first := CursorIDs("app", after), firstCursorIDs("app", after)
	require.Equal(t, map[string]string{ids[0]: first[0], ids[1]: first[1], ids[2]: first[2]}, Inherit("app", after, first), "a log of the first version")
}

// TestTheDigestTellsAnyFieldFromAnyOther changes each field of a configuration in turn, and each
// pair of booleans against each other.
func TestTheDigestTellsAnyFieldFromAnyOther(t *testing.T) {
	seen := map[digest]string{digestOf(promconfig.RemoteWriteConfig{}): "nothing"}
	var bools [][]int
	var walk func(typ reflect.Type, path []int, name string)
	walk = func(typ reflect.Type, path []int, name string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			at, field := append(slices.Clone(path), i), name+"."+f.Name
			if !f.IsExported() {
				continue
			}
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[config.ProxyConfig]() {
				walk(f.Type, at, field)
				continue
			}
			var cfg promconfig.RemoteWriteConfig
			v := reflect.ValueOf(&cfg).Elem().FieldByIndex(at)
			if !change(v) {
				continue
			}
			d := digestOf(cfg)
			require.Empty(t, seen[d], "%s has the digest of", field)
			seen[d] = field
			if v.Kind() == reflect.Bool {
				bools = append(bools, at)
			}
		}
	}
	walk(reflect.TypeFor[promconfig.RemoteWriteConfig](), nil, "")
	require.Greater(t, len(seen), 20)
	require.Greater(t, len(bools), 4)
	for i := range bools {
		for j := range i {
			var cfg promconfig.RemoteWriteConfig
			v := reflect.ValueOf(&cfg).Elem()
			v.FieldByIndex(bools[i]).SetBool(true)
			v.FieldByIndex(bools[j]).SetBool(true)
			d := digestOf(cfg)
			require.Empty(t, seen[d])
			seen[d] = "two booleans"
		}
	}
}

// change sets a field to another value than zero; it reports whether it can.
func change(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem())
	default:
		return false
	}
	return true
}

func TestDigestSeesSecretsAndIgnoresUse(t *testing.T) {
	cfg := func(change ...func(*promconfig.RemoteWriteConfig)) digest {
		return digestOf(writeConfig(t, "http://u:p@a/", change...))
	}
	same := cfg()
	require.Equal(t, same, cfg())
	require.NotEqual(t, same, digestOf(writeConfig(t, "http://u:q@a/")), "the URL's password")
	require.NotEqual(t, same, cfg(func(c *promconfig.RemoteWriteConfig) { c.HTTPClientConfig.BearerToken = "x" }))
	require.NotEqual(t, same, cfg(func(c *promconfig.RemoteWriteConfig) { c.Headers = map[string]string{"a": "b"} }))
	require.NotEqual(t, cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }),
		cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("b") }))
	require.Equal(t, cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }),
		cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }))

	used := writeConfig(t, "http://u:p@a/")
	used.HTTPClientConfig.ProxyFromEnvironment = true
	before := digestOf(used)
	used.HTTPClientConfig.Proxy()
	require.Equal(t, before, digestOf(used), "a proxy setting that was used is still the same setting")
}

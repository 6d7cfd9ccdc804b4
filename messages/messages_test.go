package messages_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// vocabulary is every exported type of the package. A type that is missing here fails the test below.
func vocabulary() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for _, t := range []reflect.Type{
		reflect.TypeFor[messages.List[messages.Unit]](),
		reflect.TypeFor[messages.Digest](), reflect.TypeFor[messages.Text](), reflect.TypeFor[messages.Document](),
		reflect.TypeFor[messages.Config](), reflect.TypeFor[messages.Unit](), reflect.TypeFor[messages.Phase](), reflect.TypeFor[messages.Era](),
		reflect.TypeFor[messages.StopReason](),
		reflect.TypeFor[messages.InstanceCommand](), reflect.TypeFor[messages.StartInstance](),
		reflect.TypeFor[messages.ReloadInstance](), reflect.TypeFor[messages.StopInstance](),
		reflect.TypeFor[messages.AskStore](), reflect.TypeFor[messages.StoreAnswered](), reflect.TypeFor[messages.CheckInstance](), reflect.TypeFor[messages.InstanceChecked](),
		reflect.TypeFor[messages.InstanceEvent](), reflect.TypeFor[messages.InstancePrepared](),
		reflect.TypeFor[messages.InstanceRunning](), reflect.TypeFor[messages.InstanceReloaded](),
		reflect.TypeFor[messages.InstanceReloadFailed](), reflect.TypeFor[messages.InstanceDraining](),
		reflect.TypeFor[messages.InstanceFailed](), reflect.TypeFor[messages.InstanceQuiet](),
		reflect.TypeFor[messages.RunInstance](), reflect.TypeFor[messages.Handover](), reflect.TypeFor[messages.InstanceStopped](),
		reflect.TypeFor[messages.MemberState](), reflect.TypeFor[messages.Member](), reflect.TypeFor[messages.Claim](), reflect.TypeFor[messages.Intent](),
		reflect.TypeFor[messages.RegistryEvent](), reflect.TypeFor[messages.RegistryListed](),
		reflect.TypeFor[messages.MemberPut](), reflect.TypeFor[messages.MemberGone](), reflect.TypeFor[messages.ClaimPut](),
		reflect.TypeFor[messages.ClaimGone](), reflect.TypeFor[messages.IntentPut](), reflect.TypeFor[messages.IntentGone](),
		reflect.TypeFor[messages.RingCommand](), reflect.TypeFor[messages.Place](), reflect.TypeFor[messages.TakePlace](),
		reflect.TypeFor[messages.EarlierSession](), reflect.TypeFor[messages.WriteRecords](), reflect.TypeFor[messages.ForgetMember](),
		reflect.TypeFor[messages.RingEvent](), reflect.TypeFor[messages.SessionChanged](), reflect.TypeFor[messages.RingChanged](),
		reflect.TypeFor[messages.RingMember](), reflect.TypeFor[messages.RecordsWritten](), reflect.TypeFor[messages.RecordWritten](),
		reflect.TypeFor[messages.RecordsPending](), reflect.TypeFor[messages.ClusterProblem](), reflect.TypeFor[messages.StoreAway](),
		reflect.TypeFor[messages.SessionEnded](), reflect.TypeFor[messages.MemberForgotten](), reflect.TypeFor[messages.Record](),
		reflect.TypeFor[messages.WriteKind](), reflect.TypeFor[messages.RecordWrite](),
		reflect.TypeFor[messages.WatcherEvent](), reflect.TypeFor[messages.ConfigPut](),
		reflect.TypeFor[messages.ConfigDeleted](), reflect.TypeFor[messages.ConfigsListed](),
		reflect.TypeFor[messages.ConfigsUnavailable](),
		reflect.TypeFor[messages.ControlCommand](), reflect.TypeFor[messages.ReplaceLocal](),
		reflect.TypeFor[messages.DefaultsChanged](), reflect.TypeFor[messages.RetryInstance](),
		reflect.TypeFor[messages.RetryAccepted](), reflect.TypeFor[messages.StopTree](),
		reflect.TypeFor[messages.TreeStopped](),
		reflect.TypeFor[messages.Notice](), reflect.TypeFor[messages.UnitStarted](), reflect.TypeFor[messages.UnitStopped](),
		reflect.TypeFor[messages.UnitFailed](), reflect.TypeFor[messages.UnitQuarantined](), reflect.TypeFor[messages.UnitMoved](),
		reflect.TypeFor[messages.NodeFenced](), reflect.TypeFor[messages.NodeJoined](), reflect.TypeFor[messages.MemberJoined](),
		reflect.TypeFor[messages.MemberLeft](), reflect.TypeFor[messages.FaultInjected](),
		reflect.TypeFor[messages.Order](), reflect.TypeFor[messages.HoldConfig](), reflect.TypeFor[messages.ReleaseConfig](),
		reflect.TypeFor[messages.CordonNode](), reflect.TypeFor[messages.UncordonNode](), reflect.TypeFor[messages.OrderTaken](),
		reflect.TypeFor[messages.ConfigHold](), reflect.TypeFor[messages.NodeCordon](), reflect.TypeFor[messages.HoldPut](),
		reflect.TypeFor[messages.HoldGone](), reflect.TypeFor[messages.CordonPut](), reflect.TypeFor[messages.CordonGone](),
		reflect.TypeFor[messages.Question](), reflect.TypeFor[messages.DescribeTree](),
		reflect.TypeFor[messages.DescribeUnit](), reflect.TypeFor[messages.TreeDescription](),
		reflect.TypeFor[messages.ClusterDescription](), reflect.TypeFor[messages.MemberDescription](), reflect.TypeFor[messages.Move](),
		reflect.TypeFor[messages.MoveReason](), reflect.TypeFor[messages.UnitAnswer](), reflect.TypeFor[messages.UnitDescription](),
	} {
		name, _, _ := strings.Cut(t.Name(), "[")
		types[name] = t
	}
	return types
}

func exportedTypes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}

// mutable says where a value of the type could be changed by somebody else, or "" if nowhere.
func mutable(t reflect.Type, path string) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	if t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[messages.Config]() {
		return ""
	}
	if name == "List" && strings.HasSuffix(t.PkgPath(), "/messages") {
		// The list itself can't be changed; what it holds has to be immutable too.
		return mutable(t.Field(0).Type.Elem(), path+"[]")
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Interface:
		return fmt.Sprintf("%s is a %s", path, t.Kind())
	case reflect.Array:
		return mutable(t.Elem(), path+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			if where := mutable(t.Field(i).Type, path+"."+t.Field(i).Name); where != "" {
				return where
			}
		}
	}
	return ""
}

func TestEveryMessageIsAnImmutableValue(t *testing.T) {
	known := vocabulary()
	for _, name := range exportedTypes(t) {
		typ, ok := known[name]
		require.True(t, ok, "%s is not in the vocabulary of this test; add it there", name)
		if typ.Kind() == reflect.Interface {
			continue // a direction, not a message
		}
		require.Empty(t, mutable(typ, name), "messages are immutable values; use a List, or send what is needed by value")
	}
}

func TestThePurityTestSeesWhatItShould(t *testing.T) {
	type impure struct{ Inner struct{ M map[string]int } }
	require.Equal(t, "impure.Inner.M is a map", mutable(reflect.TypeFor[impure](), "impure"))
	require.Equal(t, "l[] is a ptr", mutable(reflect.TypeFor[messages.List[*int]](), "l"))
}

func TestEveryMessageHasItsKind(t *testing.T) {
	var directions []reflect.Type
	for _, typ := range vocabulary() {
		if typ.Kind() == reflect.Interface {
			directions = append(directions, typ)
		}
	}
	var want []string
	for name, typ := range vocabulary() {
		sent := slices.ContainsFunc(directions, func(d reflect.Type) bool { return typ.Implements(d) })
		if typ.Kind() == reflect.Struct && sent {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	require.Equal(t, want, messages.Kinds())
}

func TestAListIsACopy(t *testing.T) {
	items := []string{"a", "b"}
	list := messages.NewList(items...)
	items[0] = "changed"
	require.Equal(t, 2, list.Len())
	require.Equal(t, "a", list.At(0))
	var seen []string
	for item := range list.All() {
		seen = append(seen, item)
	}
	require.Equal(t, []string{"a", "b"}, seen)
}

func TestNoMessagePrintsTheTextOfAConfig(t *testing.T) {
	const secret = "hunter2"
	doc := messages.Document{Name: "a", Text: "password: " + secret}
	for _, m := range []any{
		doc,
		messages.ConfigPut{Document: doc},
		messages.ConfigsListed{Documents: messages.NewList(doc)},
		messages.ReplaceLocal{Documents: messages.NewList(doc)},
		messages.StartInstance{Config: messages.NewConfig(messages.Digest{1}, secret)},
	} {
		encoded, err := json.Marshal(m)
		require.NoError(t, err)
		for _, printed := range []string{fmt.Sprintf("%v", m), fmt.Sprintf("%+v", m), fmt.Sprintf("%#v", m), string(encoded)} {
			require.NotContains(t, printed, secret, "%T", m)
		}
	}
}

func TestTheFirstUnitOfAConfigIsKeyedByItsName(t *testing.T) {
	require.Equal(t, "app/1", messages.WholeConfig("app/1").Key())
	require.Equal(t, "app", messages.Unit{Config: "app"}.Key())
}

func TestNoTwoUnitsShareAKeyAndNoPartSharesOneWithAnyConfigName(t *testing.T) {
	names := []string{"a", "a/1", "a/1/2", "a 0/2", "a/0/2/0/1", "ä"}
	seen := map[string]messages.Unit{}
	for _, name := range names {
		for slice := range 12 {
			for replica := range 3 {
				u := messages.Unit{Config: name, Slice: slice, Replica: replica}
				other, taken := seen[u.Key()]
				require.False(t, taken, "%v and %v share the key %q", u, other, u.Key())
				seen[u.Key()] = u
				require.Equal(t, u.First(), !strings.ContainsRune(u.Key(), '\x1f'),
					"a config name has no control character, so a key with one is never a name")
				back, ok := messages.ParseUnit(u.Key())
				require.True(t, ok)
				require.Equal(t, u, back)
			}
		}
	}
}

func TestWhatIsNoUnitsKeyIsNoUnit(t *testing.T) {
	for _, key := range []string{"", "\x1f1\x1f0", "a\x1f1", "a\x1f1\x1f0\x1f0", "a\x1f0\x1f0", "a\x1f01\x1f0", "a\x1f-1\x1f0", "a\x1fx\x1f0", "a\x1f1\x1f"} {
		_, ok := messages.ParseUnit(key)
		require.False(t, ok, "%q", key)
	}
}

func TestUnitsAreOrderedByConfigThenSliceThenReplica(t *testing.T) {
	a := messages.Unit{Config: "a", Slice: 1}
	require.Negative(t, a.Compare(messages.WholeConfig("b")))
	require.Positive(t, a.Compare(messages.Unit{Config: "a"}))
	require.Zero(t, a.Compare(a))
}

func TestPhasesAndReasonsHaveNames(t *testing.T) {
	for p := messages.PhaseNew; p <= messages.PhaseQuarantined; p++ {
		require.NotEqual(t, "unknown", p.String())
	}
	require.Equal(t, "unknown", messages.Phase(99).String())
	for r := messages.NotStopping; r <= messages.Held; r++ {
		require.NotEqual(t, "unknown", r.String())
	}
}

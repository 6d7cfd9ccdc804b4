package ringmaster_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateAPI = flag.Bool("update-api", false, "write api/v1.txt anew") //nolint:forbidigo // a flag of the test binary only

// TestTheExportedAPIIsListed keeps a change of what embedders use from going unnoticed: it is a
// diff of api/v1.txt.
func TestTheExportedAPIIsListed(t *testing.T) {
	var lines []string
	for _, dir := range []string{".", "actors", "messages", "actors/fault"} {
		lines = append(lines, exported(t, dir)...)
	}
	text := "# What embedders use. A change is reviewed: go test . -run TestTheExportedAPIIsListed -update-api\n" + strings.Join(lines, "\n") + "\n"
	if *updateAPI {
		require.NoError(t, os.MkdirAll("api", 0o755))
		require.NoError(t, os.WriteFile("api/v1.txt", []byte(text), 0o644))
	}
	listed, err := os.ReadFile("api/v1.txt")
	require.NoError(t, err)
	want := strings.Split(string(listed), "\n")
	var missing, added []string
	for _, line := range want {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			missing = append(missing, line)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if !slices.Contains(want, line) {
			added = append(added, line)
		}
	}
	require.Empty(t, missing, "these were taken away, or changed; run with -update-api if that is meant")
	require.Empty(t, added, "these are new; run with -update-api")
}

// exported is a line for each exported identifier of a package: functions and methods with their
// signatures, fields with their types.
func exported(t *testing.T, dir string) []string {
	t.Helper()
	set := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		files = append(files, file)
	}
	show := func(node any) string {
		var b strings.Builder
		require.NoError(t, printer.Fprint(&b, set, node))
		return strings.Join(strings.Fields(b.String()), " ")
	}
	prefix := dir + ": "
	if dir == "." {
		prefix = "ringmaster: "
	}
	var lines []string
	add := func(line string) { lines = append(lines, prefix+line) }
	for _, file := range files {
		for _, declared := range file.Decls {
			switch d := declared.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiverOf(show(d.Recv.List[0].Type)))) {
					d.Body, d.Doc = nil, nil
					add(show(d))
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					describe(spec, show, add)
				}
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// receiverOf is the name of a receiver's type.
func receiverOf(text string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(text, "*"), "[")
	return name
}

func describe(spec ast.Spec, show func(any) string, add func(string)) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				add("value " + name.Name)
			}
		}
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		switch body := s.Type.(type) {
		case *ast.StructType:
			add("type " + s.Name.Name + " struct")
			for _, f := range body.Fields.List {
				for _, name := range f.Names {
					if name.IsExported() {
						add("field " + s.Name.Name + "." + name.Name + " " + show(f.Type))
					}
				}
				if len(f.Names) == 0 {
					add("field " + s.Name.Name + " embeds " + show(f.Type))
				}
			}
		default:
			add("type " + s.Name.Name + " " + show(s.Type))
		}
	}
}

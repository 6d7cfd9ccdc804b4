package ringmaster_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// maxFileLines is where a file stops being readable in one sitting; generated files are exempt.
const maxFileLines = 500

// goPackage is one directory with Go files.
type goPackage struct {
	dir   string
	files []goFile
}

type goFile struct {
	path string
	text []byte
	ast  *ast.File
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func TestTidyEveryPackageHasExactlyOneDoc(t *testing.T) {
	for _, p := range packages(t) {
		var documented []string
		for _, f := range p.files {
			if !f.isTest() && f.ast.Doc != nil {
				documented = append(documented, f.path)
			}
		}
		hasCode := slices.ContainsFunc(p.files, func(f goFile) bool { return !f.isTest() })
		if hasCode {
			require.Len(t, documented, 1, "package %s: the package doc is the package's contract, so there is exactly one (found %v)", p.dir, documented)
		}
	}
}

func TestTidyArchitectureShowsEveryPackage(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(text, []byte("\n")), 250, "ARCHITECTURE.md is a bird's-eye view: at most 250 lines")
	for _, p := range packages(t) {
		if p.dir != "." {
			require.True(t, bytes.Contains(text, []byte("`"+filepath.ToSlash(p.dir)+"`")), "ARCHITECTURE.md: the code map lacks a line for %s", p.dir)
		}
	}
}

func TestTidyFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			lines := bytes.Count(f.text, []byte("\n"))
			require.LessOrEqual(t, lines, maxFileLines, "%s: split the file by subject", f.path)
		}
	}
}

func TestTidyNoTestSleeps(t *testing.T) {
	sleep := regexp.MustCompile(`\btime\.Sleep\(`)
	for _, p := range packages(t) {
		for _, f := range p.files {
			if f.isTest() && f.path != "tidy_test.go" {
				require.False(t, sleep.Match(f.text), "%s: poll a condition with a deadline, or use virtual time", f.path)
			}
		}
	}
}

func TestTidyNothingIsLeftForLater(t *testing.T) {
	later := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, p := range packages(t) {
		for _, f := range p.files {
			if f.path != "tidy_test.go" {
				require.Empty(t, later.FindString(string(f.text)), "%s: finish it, or describe the limit in the docs", f.path)
			}
		}
	}
}

func TestTidyGoroutinesAreWatchedForLeaks(t *testing.T) {
	starts := regexp.MustCompile(`(?m)^\s*go (func|[a-zA-Z_.]+\()|time\.AfterFunc\(`)
	for _, p := range packages(t) {
		var concurrent, watched, tested bool
		for _, f := range p.files {
			concurrent = concurrent || (!f.isTest() && starts.Match(f.text))
			tested = tested || f.isTest()
			watched = watched || (f.isTest() && bytes.Contains(f.text, []byte("goleak.VerifyTestMain")))
		}
		if concurrent && tested {
			require.True(t, watched, "package %s starts goroutines: its TestMain calls goleak.VerifyTestMain", p.dir)
		}
	}
}

func TestTidyDocsNameOnlyTestsThatExist(t *testing.T) {
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	exists := map[string]bool{}
	for _, p := range packages(t) {
		for _, f := range p.files {
			for _, declared := range f.ast.Decls {
				if function, ok := declared.(*ast.FuncDecl); ok {
					exists[function.Name.Name] = true
				}
			}
		}
	}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, path := range files {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, match := range named.FindAllSubmatch(text, -1) {
				require.True(t, exists[string(match[1])], "%s: there is no %s", path, match[1])
			}
		}
	}
}

func TestTidyPackageNamesSayWhatIsInside(t *testing.T) {
	for _, p := range packages(t) {
		require.NotContains(t, []string{"util", "utils", "helper", "helpers", "common", "manager", "base", "misc"}, filepath.Base(p.dir), p.dir)
	}
}

// Types of actors that change have at most so many methods and fields: who reads one has all of it
// in mind.
const (
	maxMethods = 25
	maxFields  = 12
)

// notProduct are packages of tests below actors, in which one type is a whole world.
var notProduct = []string{"actors/sim", "actors/actorstest", "actors/fault/faulttest"}

// seenWhole are values that don't change: what a user sets, and all that a decision depends on. They
// have as many fields as there are settings and facts.
var seenWhole = []string{"actors/fault.Rule", "actors/fencing.View", "actors/reshard.Cluster", "actors/ringactor.Cluster"}

func TestTidyTypesOfActorsAreRoomsThatOneCanOversee(t *testing.T) {
	rooms := 0
	for _, p := range packages(t) {
		if dir := filepath.ToSlash(p.dir); dir != "actors" && !strings.HasPrefix(dir, "actors/") || slices.Contains(notProduct, dir) {
			continue
		}
		fields, methods, changes := map[string]int{}, map[string]int{}, map[string]bool{}
		for _, f := range p.files {
			if f.isTest() {
				continue
			}
			for _, declared := range f.ast.Decls {
				switch d := declared.(type) {
				case *ast.FuncDecl:
					if name, pointer := receiver(d); name != "" {
						methods[name]++
						changes[name] = changes[name] || pointer
					}
				case *ast.GenDecl:
					for name, n := range fieldsOf(d) {
						fields[name] = n
					}
				}
			}
		}
		for name, n := range methods {
			require.LessOrEqual(t, n, maxMethods, "%s.%s: give what belongs together a type of its own, which owns its state", p.dir, name)
			if changes[name] && !slices.Contains(seenWhole, filepath.ToSlash(p.dir)+"."+name) {
				rooms++
				require.LessOrEqual(t, fields[name], maxFields, "%s.%s: give fields that change together a type of their own", p.dir, name)
			}
		}
	}
	require.Greater(t, rooms, 30, "the test looks at nothing")
}

// receiver is the type whose method it is, empty for a function, and whether it may change it.
func receiver(d *ast.FuncDecl) (name string, pointer bool) {
	if d.Recv == nil {
		return "", false
	}
	kind := d.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind, pointer = star.X, true
	}
	if generic, ok := kind.(*ast.IndexExpr); ok {
		kind = generic.X
	}
	if ident, ok := kind.(*ast.Ident); ok {
		return ident.Name, pointer
	}
	return "", false
}

// fieldsOf is how many fields each struct has that is declared; an embedded one is one.
func fieldsOf(d *ast.GenDecl) map[string]int {
	out := map[string]int{}
	for _, spec := range d.Specs {
		declared, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		if s, ok := declared.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				out[declared.Name.Name] += max(len(field.Names), 1)
			}
		}
	}
	return out
}

func TestTidyDecisionsAreAPage(t *testing.T) {
	records, err := filepath.Glob("docs/decisions/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, records)
	for _, path := range records {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, part := range []string{"Context", "Choice", "Consequence"} {
			require.True(t, bytes.Contains(text, []byte(part)), "%s: a decision record has context, choice and consequence; this lacks %q", path, part)
		}
		require.LessOrEqual(t, bytes.Count(text, []byte("\n")), 80, "%s: a page", path)
	}
}

// packages parses every Go file of the repository.
func packages(t *testing.T) []goPackage {
	t.Helper()
	byDir := map[string]*goPackage{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bin") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); entry.IsDir() && path != "." && err == nil {
			return filepath.SkipDir // a module of its own
		}
		if entry.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if byDir[dir] == nil {
			byDir[dir] = &goPackage{dir: dir}
		}
		byDir[dir].files = append(byDir[dir].files, goFile{path: path, text: text, ast: parsed})
		return nil
	})
	require.NoError(t, err)
	var found []goPackage
	for _, p := range byDir {
		found = append(found, *p)
	}
	slices.SortFunc(found, func(a, b goPackage) int { return strings.Compare(a.dir, b.dir) })
	return found
}

func TestTidyEveryPointOfFaultsIsInTheFailureModel(t *testing.T) {
	text, err := os.ReadFile("docs/failure-model.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## On purpose\n")
	require.True(t, found)
	rows := map[string]string{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.Contains(cells[1], "`") {
			require.Contains(t, cells[4], "`Test", "%s: name the test that shows it", cells[1])
			rows[strings.Trim(cells[1], " `")] = strings.Join(strings.Fields(strings.ReplaceAll(cells[2], "`", "")), " ")
		}
	}
	for _, p := range fault.Points() {
		var actions []string
		for _, a := range p.Actions {
			actions = append(actions, string(a))
		}
		require.Equal(t, strings.Join(actions, " "), rows[string(p.Point)], "docs/failure-model.md: the row of %s and its actions", p.Point)
		delete(rows, string(p.Point))
	}
	require.Empty(t, rows, "docs/failure-model.md: there are no such points")
}

// TestTidyEveryPointOfFaultsIsShownOnAWholeAgent is told at once what the test of the daemon finds
// out later.
func TestTidyEveryPointOfFaultsIsShownOnAWholeAgent(t *testing.T) {
	const file = "cmd/internal/daemon/chaos_points_test.go"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, p := range fault.Points() {
		require.Regexp(t, `(?m)^\t"`+regexp.QuoteMeta(string(p.Point))+`": +\{`, string(text), "%s: give %s a row in shownPoints", file, p.Point)
	}
}

// tasks reads the Taskfile.
func tasks(t *testing.T) map[string][]any {
	t.Helper()
	text, err := os.ReadFile("Taskfile.yml")
	require.NoError(t, err)
	var file struct {
		Tasks map[string]struct{ Cmds []any }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	commands := map[string][]any{}
	for name, task := range file.Tasks {
		commands[name] = task.Cmds
	}
	return commands
}

func TestTidyTaskfileCanBeRead(t *testing.T) {
	commands := tasks(t)
	for _, name := range []string{"check", "test", "sim", "fuzz", "bench", "golden", "cluster"} {
		require.NotEmpty(t, commands[name], "task %s", name)
	}
}

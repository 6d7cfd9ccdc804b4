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

func TestTidyDecisionsAreHalfAPage(t *testing.T) {
	records, err := filepath.Glob("docs/decisions/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, records)
	for _, path := range records {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, part := range []string{"Context", "Choice", "Consequence"} {
			require.True(t, bytes.Contains(text, []byte(part)), "%s: a decision record has context, choice and consequence; this lacks %q", path, part)
		}
		require.LessOrEqual(t, bytes.Count(text, []byte("\n")), 60, "%s: half a page", path)
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

func TestTidyTaskfileCanBeRead(t *testing.T) {
	text, err := os.ReadFile("Taskfile.yml")
	require.NoError(t, err)
	var file struct {
		Tasks map[string]struct {
			Desc string
			Cmds []any
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, name := range []string{"check", "test", "sim", "fuzz", "bench", "golden", "cluster"} {
		require.NotEmpty(t, file.Tasks[name].Cmds, "task %s", name)
	}
}

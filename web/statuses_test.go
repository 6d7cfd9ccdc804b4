package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// source is what the code of this package says about answers. A function's key is its name; that of a
// method has a dot before it, and that of a method of the server is s.NAME.
type source struct {
	// calls are the functions that each function calls, or hands on; statuses are those it mentions.
	calls    map[string][]string
	statuses map[string][]int
	consts   map[string]ast.Expr
	// routes are the functions that answer, by method and pattern.
	routes map[string][]string
}

// statusNames are the constants of net/http.
func statusNames() map[string]int {
	all := map[string]int{}
	for code := 100; code < 600; code++ {
		all["Status"+strings.ReplaceAll(http.StatusText(code), " ", "")] = code
	}
	return all
}

func readSource(t *testing.T) *source {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	s := &source{calls: map[string][]string{}, statuses: map[string][]int{}, consts: map[string]ast.Expr{}, routes: map[string][]string{}}
	var functions []*ast.FuncDecl
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, declared := range file.Decls {
			switch d := declared.(type) {
			case *ast.FuncDecl:
				functions = append(functions, d)
			case *ast.GenDecl:
				s.addConsts(d)
			}
		}
	}
	for _, f := range functions {
		s.addFunction(f)
	}
	for _, f := range functions {
		s.addRoutes(f)
	}
	return s
}

func (s *source) addConsts(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.CONST && len(v.Values) == len(v.Names) {
			for i, name := range v.Names {
				s.consts[name.Name] = v.Values[i]
			}
		}
	}
}

// addFunction notes what a function answers and calls. A status that is compared with, or that
// another node may answer, is none that it answers.
func (s *source) addFunction(f *ast.FuncDecl) {
	known, key := statusNames(), f.Name.Name
	if f.Recv != nil {
		key = "." + key
		if len(f.Recv.List[0].Names) == 1 && f.Recv.List[0].Names[0].Name == "s" {
			key = "s" + key
		}
	}
	s.calls[key] = []string{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			return n.Op != token.EQL && n.Op != token.NEQ
		case *ast.CaseClause:
			n.List = nil
		case *ast.CallExpr:
			s.calls[key] = append(s.calls[key], keyOf(n.Fun))
			if name := keyOf(n.Fun); name == "s.tellOthers" || name == ".Contains" {
				n.Args = nil
			}
			for _, argument := range n.Args {
				s.calls[key] = append(s.calls[key], keyOf(argument))
			}
		case *ast.SelectorExpr:
			if code := known[n.Sel.Name]; code != 0 && lastName(n.X) == "http" {
				s.statuses[key] = append(s.statuses[key], code)
			}
		}
		return true
	})
}

// keyOf is the key of a function that an expression names.
func keyOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr: // with a type argument
		return keyOf(e.X)
	case *ast.SelectorExpr:
		if lastName(e.X) == "s" {
			return "s." + e.Sel.Name
		}
		return "." + e.Sel.Name
	}
	return ""
}

// addRoutes finds the routes that a function lists.
func (s *source) addRoutes(f *ast.FuncDecl) {
	wrappers := map[string]ast.Node{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if function, ok := n.Rhs[0].(*ast.FuncLit); ok {
				wrappers[lastName(n.Lhs[0])] = function
			}
		case *ast.CompositeLit:
			if len(n.Elts) != 2 || !strings.HasPrefix(s.text(n.Elts[0]), "/") {
				return true
			}
			pattern := s.text(n.Elts[0])
			if call, ok := n.Elts[1].(*ast.CallExpr); ok { // get(…), post(…)
				s.routes[lastName(call.Fun)+" "+pattern] = append(s.mentioned(call), s.mentioned(wrappers[lastName(call.Fun)])...)
				return true
			}
			for _, element := range n.Elts[1].(*ast.CompositeLit).Elts {
				pair := element.(*ast.KeyValueExpr)
				method := strings.ToLower(strings.TrimPrefix(lastName(pair.Key), "Method"))
				s.routes[method+" "+pattern] = s.mentioned(pair.Value)
			}
		}
		return true
	})
}

// mentioned are the functions of the package that an expression names.
func (s *source) mentioned(in ast.Node) (found []string) {
	ast.Inspect(in, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && s.calls[keyOf(e)] != nil {
			found = append(found, keyOf(e))
		}
		return true
	})
	return found
}

// text is the value of a constant expression of strings, or nothing.
func (s *source) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.Ident:
		if value := s.consts[e.Name]; value != nil {
			return s.text(value)
		}
	case *ast.BinaryExpr:
		return s.text(e.X) + s.text(e.Y)
	}
	return ""
}

func lastName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.Ident:
		return n.Name
	case *ast.SelectorExpr:
		return n.Sel.Name
	}
	return ""
}

// answers are the statuses that functions may answer, by what they call too.
func (s *source) answers(functions []string) map[int]bool {
	// writeJSON answers 500 only for a bug. The others are what libraries call, or named as theirs.
	found, seen := map[int]bool{}, map[string]bool{"writeJSON": true, ".ServeHTTP": true, ".Write": true, ".Store": true}
	for len(functions) > 0 {
		name := functions[0]
		functions = functions[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, code := range s.statuses[name] {
			found[code] = true
		}
		functions = append(functions, s.calls[name]...)
	}
	return found
}

// described are the statuses of docs/openapi.yaml, by method and pattern.
func described(t *testing.T) map[string][]int {
	t.Helper()
	text, err := os.ReadFile("../docs/openapi.yaml")
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	require.NoError(t, yaml.Unmarshal(text, &doc))
	all := map[string][]int{}
	for pattern, methods := range doc.Paths {
		for method, operation := range methods {
			for status := range operation.Responses {
				code, err := strconv.Atoi(status)
				require.NoError(t, err)
				all[method+" "+pattern] = append(all[method+" "+pattern], code)
			}
			slices.Sort(all[method+" "+pattern])
		}
	}
	return all
}

func TestTheOpenAPIFileHasTheStatusesOfEachHandler(t *testing.T) {
	const write = "post /agent/api/v1/metrics/instance/{name}/write"
	code := readSource(t)
	// What the code of the handlers does not show: answers of a library, and of guardCostly.
	more := map[string][]int{
		"get /metrics":   {http.StatusOK},
		"get /-/reload":  {http.StatusForbidden},
		"post /-/reload": {http.StatusForbidden},
		"get /-/support": {http.StatusOK, http.StatusForbidden},
		write:            append(code.statuses[".Store"], http.StatusNoContent, http.StatusUnsupportedMediaType),
	}
	// What storeFailure answers to others. A full store is read, and takes deletions.
	never := map[string][]int{
		"get /agent/api/v1/configs":          {http.StatusInsufficientStorage},
		"get /agent/api/v1/configs/{name}":   {http.StatusInsufficientStorage},
		"delete /agent/api/v1/config/{name}": {http.StatusInsufficientStorage},
	}
	for operation, documented := range described(t) {
		answered := code.answers(code.routes[operation])
		for _, status := range more[operation] {
			answered[status] = true
		}
		for _, status := range never[operation] {
			delete(answered, status)
		}
		assert.Equal(t, slices.Sorted(maps.Keys(answered)), documented, "%s: the code's, and those of docs/openapi.yaml", operation)
	}
}

// TestThePageAboutTheAPIHasTheStatusesOfTheOpenAPIFile reads the paragraphs Status below headings
// that name a method and a path.
func TestThePageAboutTheAPIHasTheStatusesOfTheOpenAPIFile(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	require.NoError(t, err)
	operations := described(t)
	heading, status := regexp.MustCompile("`(?:[A-Z]+` or `)?([A-Z]+) (/agent/[^`]*)`"), regexp.MustCompile(`(?s)Status: (.*?)\n\n`)
	compared := 0
	for section := range strings.SplitSeq(string(text), "\n### ") {
		title, body, _ := strings.Cut(section, "\n")
		named, listed := heading.FindStringSubmatch(title), status.FindStringSubmatch(body+"\n\n")
		if named == nil || listed == nil || strings.Contains(title, "…") {
			continue
		}
		var codes []int
		for part := range strings.SplitSeq(listed[1], ";") {
			code, err := strconv.Atoi(strings.TrimRight(strings.TrimSpace(part)[:3], "."))
			require.NoError(t, err, "%s: %s", title, part)
			codes = append(codes, code)
		}
		if strings.HasPrefix(named[2], clusterAPI) { // said once for all of these
			codes = append(codes, http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError)
		}
		slices.Sort(codes)
		codes = slices.Compact(codes)
		documented := operations[strings.ToLower(named[1])+" "+named[2]]
		// Without the scraping service there is no config: the page says so once.
		documented = slices.DeleteFunc(slices.Clone(documented), func(c int) bool { return c == http.StatusNotFound && !slices.Contains(codes, c) })
		assert.Equal(t, documented, codes, "%s: docs/openapi.yaml, and docs/api.md", title)
		compared++
	}
	require.GreaterOrEqual(t, compared, 7)
}

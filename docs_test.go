package ringmaster_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/config"
)

// documents are the pages for people: of the root, of docs, and of the examples.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[file] = string(text)
		}
	}
	return texts
}

// anchors are what links can point to in a page, by GitHub's rule for headings.
func anchors(text string) (found []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N}\p{M}_ -]`)
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading[1])), ""), " ", "-")
		for n, base := 1, anchor; slices.Contains(found, anchor); n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		found = append(found, anchor)
	}
	return found
}

func TestDocsEveryLinkLeadsSomewhere(t *testing.T) {
	all := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for file, text := range all {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			target := match[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
				_, err := os.Stat(to)
				require.NoError(t, err, "%s links to %s", file, target)
			}
			if anchor != "" && filepath.Ext(to) == ".md" {
				require.Contains(t, anchors(all[to]), anchor, "%s links to %s", file, target)
			}
		}
	}
}

func TestDocsEveryPageIsInTheIndex(t *testing.T) {
	index := documents(t)["docs/README.md"]
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			require.Contains(t, index, "("+name+")", "docs/README.md lacks %s", name)
		}
	}
}

func TestDocsReadmeIsShort(t *testing.T) {
	require.LessOrEqual(t, strings.Count(documents(t)["README.md"], "\n"), 200)
}

// TestDocsEveryConfigIsValid reads each block of YAML: a main file, a config or a part of one, rules
// of Prometheus, or an experiment, which the tests of chaos play.
func TestDocsEveryConfigIsValid(t *testing.T) {
	block := regexp.MustCompile("(?s)```ya?ml\n(.*?)```")
	checked := 0
	for file, text := range documents(t) {
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			var keys map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(match[1]), &keys), "%s:\n%s", file, match[1])
			var err error
			has := func(key string) bool { _, ok := keys[key]; return ok }
			switch {
			case has("hypothesis"):
			case has("groups"):
				_, errs := rulefmt.Parse([]byte(match[1]), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
				err = errors.Join(errs...)
			case has("metrics"), has("tracing"):
				_, err = config.LoadAgent(file, []byte(match[1]), config.LoadOptions{ForeignDiscoveries: true})
			default:
				_, err = config.ParseInstance("example", match[1], config.InstanceOptions{ForeignDiscoveries: true, AllowFiles: true, AllowAmbient: true})
			}
			require.NoError(t, err, "%s:\n%s", file, match[1])
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 5)
}

// TestDocsEveryFileOfACommandIsThere looks for files of the repository in blocks of shell.
func TestDocsEveryFileOfACommandIsThere(t *testing.T) {
	block := regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```")
	path := regexp.MustCompile(`(?:^|[ =@"'])(?:\./)?((?:cmd|config|deploy|docs|examples|packaging|\.ci)/[^\s;"')]+)`)
	found := 0
	for file, text := range documents(t) {
		require.NotContains(t, text, "```bash", "%s: shell is called sh", file)
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			for _, used := range path.FindAllStringSubmatch(match[1], -1) {
				_, err := os.Stat(used[1])
				require.NoError(t, err, "%s:\n%s", file, match[1])
				found++
			}
		}
	}
	require.GreaterOrEqual(t, found, 10)
}

// TestDocsEveryCommandIsThere looks for the commands of agentctl and the flags of agent, which the
// man pages list, in blocks of shell.
func TestDocsEveryCommandIsThere(t *testing.T) {
	manual := func(name string) string {
		text, err := os.ReadFile(filepath.Join("packaging", "man", name))
		require.NoError(t, err)
		return string(bytes.ReplaceAll(text, []byte(`\-`), []byte("-")))
	}
	agentctl, agent := manual("agentctl.1"), manual("ringmaster-agent.8")
	block := regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```")
	command := regexp.MustCompile(`(?:^|[ $/])agentctl ([a-z][a-z-]+)`)
	flagged := regexp.MustCompile(`(?:^|[ $/])(?:ringmaster-)?agent((?: +-[^ \n]+)+)`)
	for file, text := range documents(t) {
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(match[1]) {
				line, _, _ = strings.Cut(line, " #")
				for _, used := range command.FindAllStringSubmatch(line, -1) {
					require.Contains(t, agentctl, ".SS agentctl "+used[1], "%s: %s", file, line)
				}
				for _, used := range flagged.FindAllStringSubmatch(line, -1) {
					for _, flag := range strings.Fields(used[1]) {
						name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
						require.Contains(t, agent, `\fB-`+name, "%s: %s", file, line)
					}
				}
			}
		}
	}
}

func TestDocsEveryTaskIsThere(t *testing.T) {
	there := tasks(t)
	named := regexp.MustCompile("`task ([a-z][a-z-]*)")
	found := 0
	for file, text := range documents(t) {
		for _, match := range named.FindAllStringSubmatch(text, -1) {
			require.Truef(t, there[match[1]] != nil, "%s: there is no task %s", file, match[1])
			found++
		}
	}
	text, err := os.ReadFile("packaging/Containerfile")
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(`\btask ([a-z][a-z-]*)`).FindAllStringSubmatch(string(text), -1) {
		require.Truef(t, there[match[1]] != nil, "packaging/Containerfile: there is no task %s", match[1])
	}
	require.GreaterOrEqual(t, found, 10)
}

// composedLines are quoted as one, and are two texts in the code.
var composedLines = strings.NewReplacer("start embedded etcd in", "start …embedded etcd in", "…; restore the", "…; …restore the")

// TestDocsEveryLogLineIsInTheCode looks for what tables quote under What the operator sees, commands
// and requests apart. An … stands for what differs.
func TestDocsEveryLogLineIsInTheCode(t *testing.T) {
	var texts strings.Builder
	for _, p := range packages(t) {
		for _, f := range p.files {
			if !f.isTest() {
				ast.Inspect(f.ast, func(n ast.Node) bool {
					if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						text, err := strconv.Unquote(literal.Value)
						require.NoError(t, err)
						texts.WriteString(text + "\n")
					}
					return true
				})
			}
		}
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	found := 0
	for file, text := range documents(t) {
		column := -1
		for line := range strings.Lines(text) {
			cells := strings.Split(line, "|")
			if at := slices.IndexFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "What the operator sees" }); at >= 0 || len(cells) == 1 {
				column = at
			}
			if column < 0 || column >= len(cells) {
				continue
			}
			for _, match := range quoted.FindAllStringSubmatch(cells[column], -1) {
				if !strings.Contains(match[1], " ") || strings.HasPrefix(match[1], "GET ") || strings.HasPrefix(match[1], "agentctl ") {
					continue
				}
				for part := range strings.SplitSeq(composedLines.Replace(match[1]), "…") {
					require.True(t, strings.Contains(texts.String(), strings.TrimSpace(part)), "%s: nothing logs or answers %q", file, match[1])
				}
				found++
			}
		}
	}
	require.GreaterOrEqual(t, found, 60)
}

// TestDocsInstallNamesEveryProgramOfThePackages reads which programs the packages put into /usr/bin.
func TestDocsInstallNamesEveryProgramOfThePackages(t *testing.T) {
	packages, err := filepath.Glob("packaging/nfpm-*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, packages)
	for _, file := range packages {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, program := range regexp.MustCompile(`dst: (/usr/bin/\S+)`).FindAllStringSubmatch(string(text), -1) {
			require.Contains(t, documents(t)["docs/install.md"], "`"+program[1]+"`", "%s installs it", file)
		}
	}
}

// TestDocsEveryMetricIsInTheReference looks for the names that the code gives as they are. A test of
// the daemon compares the rows with what an agent exposes.
func TestDocsEveryMetricIsInTheReference(t *testing.T) {
	reference, found := documents(t)["docs/metrics.md"], 0
	check := func(path string, name ast.Expr) {
		literal, ok := name.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		if !strings.Contains(literal.Value, "_") {
			return // nobody registers it
		}
		found++
		require.True(t, strings.Contains(reference, "| `"+strings.Trim(literal.Value, `"`)+"` |"), "%s: docs/metrics.md lacks %s", path, literal.Value)
	}
	for _, p := range packages(t) {
		if strings.HasPrefix(p.dir, "examples") || strings.HasSuffix(p.dir, "test") {
			continue
		}
		for _, f := range p.files {
			if f.isTest() {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if called, ok := n.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "NewDesc" {
						check(f.path, n.Args[0])
					}
				case *ast.CompositeLit:
					options, ok := n.Type.(*ast.SelectorExpr)
					if !ok || !regexp.MustCompile("^(Counter|Gauge|Histogram|Summary)Opts$").MatchString(options.Sel.Name) {
						return true
					}
					for _, element := range n.Elts {
						if pair, ok := element.(*ast.KeyValueExpr); ok && fmt.Sprint(pair.Key) == "Name" {
							check(f.path, pair.Value)
						}
					}
				}
				return true
			})
		}
	}
	require.GreaterOrEqual(t, found, 30)
}

package web

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// Bounds of what the debugger takes; a page with the steps stays readable, and cheap to make.
const (
	maxDebugRules  = 100
	maxDebugLabels = 100
	maxDebugRegex  = 1000
)

// relabelStep is what a rule has made of the labels.
type relabelStep struct {
	Number  int           `json:"number"`
	Rule    string        `json:"rule"`
	Labels  labels.Labels `json:"labels"`
	Changed bool          `json:"changed"`
	Dropped bool          `json:"dropped"`

	shown []shownLabel
}

// After are the labels as templates show them, with what is new and what is gone.
func (s relabelStep) After() []shownLabel { return s.shown }

// relabelJSON is data of POST /relabel.
type relabelJSON struct {
	Before labels.Labels `json:"before"`
	Steps  []relabelStep `json:"steps"`
	// Dropped is the number of the rule that dropped it; 0: none did.
	Dropped int `json:"dropped"`
}

type relabelData struct {
	Labels, Rules, Note, Problem string
	Before                       []shownLabel
	Steps                        []relabelStep
	Dropped                      int
}

// relabelPage takes labels through rules. GET takes them from a target, POST from a form.
func (s *Server) relabelPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		s.failPage(w, r, refuseWith(http.StatusBadRequest, "read form", err))
		return
	}
	data := relabelData{Labels: r.PostForm.Get("labels"), Rules: r.PostForm.Get("rules")}
	status := http.StatusOK
	var out relabelJSON
	var err error
	switch {
	case r.Method == http.MethodPost:
		out, err = relabelSteps(data.Labels, data.Rules)
	case r.Form.Get("config") != "":
		if data, err = s.relabelOf(r); err == nil && data.Rules != "" {
			out, err = relabelSteps(data.Labels, data.Rules)
		}
	default:
		data.Labels, data.Rules = exampleLabels, exampleRules
	}
	if err != nil {
		data.Problem, status = redact.Text(err.Error()), http.StatusBadRequest
	}
	if wantsJSON(r) {
		if err != nil {
			failAPI(w, status, problem{Error: data.Problem})
			return
		}
		succeed(w, http.StatusOK, out)
		return
	}
	data.Before, data.Steps, data.Dropped = shownLabels(out.Before), out.Steps, out.Dropped
	s.show(w, r, "relabel.html", pages.Frame{Title: "Relabel", Current: "/relabel", JSON: "/relabel?format=json", Data: data})
}

const (
	exampleLabels = "__address__=\"10.0.0.7:9100\"\n__meta_kubernetes_pod_annotation_scrape=\"true\"\n__meta_kubernetes_pod_name=\"api-1\"\n"
	exampleRules  = "- source_labels: [__meta_kubernetes_pod_annotation_scrape]\n  regex: \"true\"\n  action: keep\n" +
		"- source_labels: [__meta_kubernetes_pod_name]\n  target_label: pod\n"
)

// relabelSteps applies rules one by one.
func relabelSteps(labelText, ruleText string) (out relabelJSON, err error) {
	before, err := readLabels(labelText)
	rules, ruleErr := readRules(ruleText)
	if err := errors.Join(err, ruleErr); err != nil {
		return out, err
	}
	out = relabelJSON{Before: before, Steps: []relabelStep{}}
	builder := labels.NewBuilder(before)
	for i, rule := range rules {
		last := builder.Labels()
		kept := relabel.ProcessBuilder(builder, rule)
		step := relabelStep{Number: i + 1, Rule: strings.Join(ruleLines(rule, true), "\n"), Dropped: !kept, Labels: labels.EmptyLabels()}
		if kept {
			step.Labels = builder.Labels()
		}
		step.Changed = !labels.Equal(last, step.Labels)
		step.shown = difference(last, step.Labels)
		out.Steps = append(out.Steps, step)
		if !kept {
			out.Dropped = i + 1
			break
		}
	}
	return out, nil
}

// difference marks what is new in after, and what it no longer has.
func difference(before, after labels.Labels) []shownLabel {
	var shown []shownLabel
	after.Range(func(l labels.Label) {
		class := ""
		if before.Get(l.Name) != l.Value {
			class = "fresh"
		}
		shown = append(shown, shownLabel{l.Name, l.Value, class})
	})
	before.Range(func(l labels.Label) {
		if !after.Has(l.Name) && !after.IsEmpty() {
			shown = append(shown, shownLabel{l.Name, l.Value, "gone"})
		}
	})
	slices.SortStableFunc(shown, func(a, b shownLabel) int { return strings.Compare(a.Name, b.Name) })
	return shown
}

// readLabels reads name="value", one a line or with commas between them, in braces or without, or a
// mapping in JSON or YAML.
func readLabels(text string) (labels.Labels, error) {
	text = strings.TrimSpace(text)
	var mapping map[string]string
	if !strings.Contains(text, "=") && yaml.Unmarshal([]byte(text), &mapping) == nil {
		return bounded(labels.FromMap(mapping))
	}
	if strings.HasPrefix(text, "{") && strings.Contains(text, `":`) && yaml.Unmarshal([]byte(text), &mapping) == nil {
		return bounded(labels.FromMap(mapping))
	}
	left := text
	pairs := map[string]string{}
	for _, found := range labelPair.FindAllStringSubmatch(text, -1) {
		name := found[1]
		value, err := strconv.Unquote(found[2])
		if strings.HasPrefix(name, `"`) && err == nil {
			name, err = strconv.Unquote(name)
		}
		if err != nil {
			return labels.EmptyLabels(), fmt.Errorf("labels: %s: %w", found[0], err)
		}
		pairs[name] = value
		left = strings.Replace(left, found[0], "", 1)
	}
	if left = strings.Trim(left, " \t\r\n,{}"); left != "" {
		return labels.EmptyLabels(), fmt.Errorf("labels: want name=\"value\", one a line, and not %q", pages.Cut(100, left))
	}
	return bounded(labels.FromMap(pairs))
}

// labelPair is a name, which may be quoted, and a quoted value.
var labelPair = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^\s={},"]+)\s*=\s*("(?:[^"\\]|\\.)*")`)

func bounded(ls labels.Labels) (labels.Labels, error) {
	if ls.Len() > maxDebugLabels {
		return ls, fmt.Errorf("labels: at most %d", maxDebugLabels)
	}
	return ls, nil
}

// readRules reads a list of rules, or a block that has one under a key.
func readRules(text string) ([]*relabel.Config, error) {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if len(node.Content) == 1 && node.Content[0].Kind == yaml.MappingNode && len(node.Content[0].Content) == 2 {
		node = *node.Content[0].Content[1]
	}
	var rules []*relabel.Config
	if err := node.Decode(&rules); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if len(rules) > maxDebugRules {
		return nil, fmt.Errorf("rules: at most %d", maxDebugRules)
	}
	for i, rule := range rules {
		switch {
		case rule == nil:
			return nil, fmt.Errorf("rules: rule %d is empty", i+1)
		case len(rule.Regex.String()) > maxDebugRegex:
			return nil, fmt.Errorf("rules: the regex of rule %d is longer than %d bytes", i+1, maxDebugRegex)
		}
		if err := rule.Validate(model.UTF8Validation); err != nil {
			return nil, fmt.Errorf("rules: rule %d: %w", i+1, err)
		}
	}
	return rules, nil
}

// relabelOf takes labels and rules from a target of a config.
func (s *Server) relabelOf(r *http.Request) (data relabelData, err error) {
	query := r.Form
	name, job := query.Get("config"), query.Get("job")
	var before labels.Labels
	if id := query.Get("discovered"); id != "" {
		listed, failed := collect(s, limited(r), s.discoveredOfAll(name))
		if failed != nil {
			return data, errors.New(failed.text)
		}
		for _, d := range listed.Items {
			if d.ID == id {
				before, job = d.Discovered, d.Job
			}
		}
	} else {
		part, failed := s.targetPart(targetOnly(r))
		if failed != nil {
			return data, errors.New(failed.text)
		}
		before, job = part.Target.DiscoveredLabels, part.Target.TargetGroup
	}
	before.Range(func(l labels.Label) { data.Labels += l.Name + "=" + strconv.Quote(l.Value) + "\n" })
	data.Rules, data.Note, err = s.rulesOf(r, name, job)
	return data, err
}

// limited asks for as many items as a listing may have.
func limited(r *http.Request) *http.Request {
	clone := r.Clone(r.Context())
	query := clone.URL.Query()
	query.Set("limit", strconv.Itoa(maxLimit))
	clone.URL.RawQuery = query.Encode()
	return clone
}

func targetOnly(r *http.Request) *http.Request { return r.Clone(r.Context()) }

// rulesOf are the relabel_configs of a job as they are stored, masked.
func (s *Server) rulesOf(r *http.Request, name, job string) (rules, note string, err error) {
	if !s.opts.ReadAPI || s.opts.Configs == nil {
		return "", "The rules of the config are not shown, since reading configs is off (-config.enable-read-api). Paste them.", nil
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	stored, err := s.opts.Configs.Get(ctx, name)
	if err != nil {
		return "", "", fmt.Errorf("read the config: %w", err)
	}
	masked, err := config.MaskInstance(stored.Text)
	if err != nil {
		return "", "", err
	}
	var file struct {
		Jobs []struct {
			Name  string    `yaml:"job_name"`
			Rules yaml.Node `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(masked), &file); err != nil {
		return "", "", fmt.Errorf("read the config: %w", err)
	}
	for _, j := range file.Jobs {
		if j.Name != job || j.Rules.IsZero() {
			continue
		}
		text, err := yaml.Marshal(&j.Rules)
		return string(text), "The relabel_configs of job " + job + ", as they are stored, without secrets.", err
	}
	return "", "Job " + job + " has no relabel_configs: its targets are taken as they are discovered.", nil
}

// ruleLines are a rule as a person reads it, without what is as it is by default. What it compares
// and writes is shown only if the config may be read, and the label that it writes may be shown.
func ruleLines(rule *relabel.Config, readable bool) []string {
	lines := []string{"action: " + string(rule.Action)}
	if len(rule.SourceLabels) > 0 {
		lines = append(lines, fmt.Sprintf("source_labels: [%s]", strings.Join(namesOf(rule.SourceLabels), ", ")))
	}
	hidden := rule.TargetLabel != "" && redact.Relabeled(rule.TargetLabel)
	show := func(key, value, usual string) {
		switch {
		case value == usual || !readable:
		case hidden:
			lines = append(lines, key+": "+redact.Mark)
		default:
			lines = append(lines, key+": "+redact.Text(value))
		}
	}
	show("regex", rule.Regex.String(), relabel.DefaultRelabelConfig.Regex.String())
	if rule.Modulus > 0 {
		lines = append(lines, fmt.Sprintf("modulus: %d", rule.Modulus))
	}
	if rule.TargetLabel != "" {
		lines = append(lines, "target_label: "+rule.TargetLabel)
	}
	show("replacement", rule.Replacement, relabel.DefaultRelabelConfig.Replacement)
	return lines
}

func namesOf(names model.LabelNames) []string {
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return texts
}

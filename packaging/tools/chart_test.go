package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

var update = flag.Bool("update", false, "write deploy/helm/golden and deploy/kubernetes/ringmaster.yaml anew")

const deploy = "../../deploy/"

// render is what helm template prints for a release called ringmaster.
func render(t *testing.T, valuesFile string) (string, error) {
	t.Helper()
	c, err := loader.Load(deploy + "helm/ringmaster")
	if err != nil {
		t.Fatal(err)
	}
	values := chartutil.Values{}
	if valuesFile != "" {
		if values, err = chartutil.ReadValuesFile(valuesFile); err != nil {
			t.Fatal(err)
		}
	}
	release := chartutil.ReleaseOptions{Name: "ringmaster", Namespace: "monitoring", IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return "", err
	}
	var names []string
	for name := range files {
		if strings.HasSuffix(name, ".yaml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		for _, document := range strings.Split("\n"+files[name], "\n---") {
			if document = strings.TrimSpace(document); document != "" {
				b.WriteString("---\n" + document + "\n")
			}
		}
	}
	return b.String(), nil
}

// compare holds a text against a file.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what the chart renders; go test -C packaging/tools . -update writes it anew, read the diff", path)
	}
}

// decodeStrictly decodes every document by the API types of Kubernetes, without unknown or repeated
// fields, and returns their kinds.
func decodeStrictly(t *testing.T, what, text string) (kinds []string) {
	t.Helper()
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	reader := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
	buffer := make([]byte, len(text)+1)
	for {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			return kinds
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		document := bytes.TrimSpace(buffer[:n])
		if len(document) == 0 || !bytes.Contains(document, []byte("kind:")) || bytes.Contains(document, []byte("monitoring.coreos.com/")) { // which has no Go types here
			continue
		}
		_, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v in:\n%s", what, err, document)
		}
		kinds = append(kinds, kind.Kind)
	}
}

func TestTheChartRendersWhatKubernetesUnderstands(t *testing.T) {
	for name, want := range map[string]string{
		"default":  "ServiceAccount Secret PodDisruptionBudget NetworkPolicy Service Service StatefulSet",
		"external": "ServiceAccount ClusterRole ClusterRoleBinding Secret PodDisruptionBudget Service Deployment",
	} {
		values := ""
		if name != "default" {
			values = deploy + "helm/values/" + name + ".yaml"
		}
		text, err := render(t, values)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(decodeStrictly(t, name, text), " "); got != want {
			t.Errorf("%s renders %s, not %s", name, got, want)
		}
		compare(t, deploy+"helm/golden/"+name+".yaml", text)
	}
}

func TestAnExternalStoreHasToBeNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte("mode: external\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := render(t, file); err == nil || !strings.Contains(err.Error(), "mode external needs the store") {
		t.Errorf("rendering says %v", err)
	}
}

// The manifests for those who use no Helm are what the chart renders by default.
func TestPlainManifestsAreWhatKubernetesUnderstands(t *testing.T) {
	text, err := render(t, "")
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")
	compare(t, deploy+"kubernetes/ringmaster.yaml",
		"# Three agents that keep the configs among them, for: kubectl apply -n monitoring -f ringmaster.yaml\n# The chart deploy/helm/ringmaster renders this.\n"+text)
	files, err := filepath.Glob(deploy + "kubernetes/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decodeStrictly(t, file, string(text))
	}
}

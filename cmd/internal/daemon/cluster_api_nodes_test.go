package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
)

// securedFiles writes a certificate for loopback and a web config file that demands it of clients,
// and a password: user, hunter2.
func securedFiles(t *testing.T) (webConfig string, certificate tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agents"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	directory := t.TempDir()
	write := func(name string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), content, 0o600))
	}
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	write("cert.pem", certPEM)
	write("key.pem", keyPEM)
	write("web.yml", []byte(`
tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, client_auth_type: RequireAndVerifyClientCert}
basic_auth_users: {user: $2a$04$ZlhSuv0.8l.bcUYzlxWQ.Ol.PSFFemMrjh9obKHuyoA7ridkBD3lm}
`))
	certificate, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return filepath.Join(directory, "web.yml"), certificate
}

// caller asks agents that demand a certificate and a password.
type caller struct {
	t      *testing.T
	client *http.Client
}

func newCaller(t *testing.T, certificate tls.Certificate) caller {
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	return caller{t, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}},
	}}}
}

func (c caller) call(method string, agent *running, path, body string) (status int, answer string) {
	c.t.Helper()
	base := strings.Replace(agent.base, "http://", "https://", 1)
	request, err := http.NewRequestWithContext(c.t.Context(), method, base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	request.SetBasicAuth("user", "hunter2")
	response, err := c.client.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return response.StatusCode, string(text)
}

// get decodes the data of a successful answer into what data points to.
func (c caller) get(agent *running, path string, data any) {
	c.t.Helper()
	status, text := c.call(http.MethodGet, agent, "/agent/api/v1/"+path, "")
	require.Equal(c.t, http.StatusOK, status, text)
	envelope := struct{ Data any }{data}
	require.NoError(c.t, json.Unmarshal([]byte(text), &envelope), text)
}

type clusterAnswer struct {
	Settled, Permitted      bool
	Units, Configs, Unowned int
	Members                 []struct {
		Node  string
		Alive bool
		Share float64
	}
}

type unitsAnswer struct {
	Items []struct {
		Config, State, Owner string
		ClaimedBy            string `json:"claimed_by"`
		Epoch                int64
	}
}

type listAnswer struct {
	Items       []struct{ Node, Name, Instance, Phase string }
	Total       int
	Next        string
	Unreachable []struct{ Node, Error string }
}

func TestEveryNodeAnswersForTheWholeClusterOverTLSAndWithAPassword(t *testing.T) {
	const configs = 20
	webConfig, certificate := securedFiles(t)
	store := memstore.NewServer(nil)
	var agents []*running
	for i := range 3 {
		agent := load(t, fmt.Sprintf("metrics: {wal_directory: %s, scraping_service: {enabled: true, lifecycler: {id: node-%d}}}", filepath.Join(t.TempDir(), "wal"), i+1))
		agents = append(agents, startDaemon(t, Options{Agent: agent, WebConfigFile: webConfig, sharedStore: store.Connect()}))
	}
	c := newCaller(t, certificate)
	for i := range configs {
		text := "scrape_configs: [{job_name: j, scrape_interval: 1h, scrape_timeout: 1s, static_configs: [{targets: ['127.0.0.1:1']}]}]"
		status, answer := c.call(http.MethodPut, agents[i%3], fmt.Sprintf("/agent/api/v1/config/app-%02d", i), text)
		require.Equal(t, http.StatusCreated, status, answer)
	}
	for _, agent := range agents {
		require.Eventually(t, func() bool { return hasSettled(c, agent, configs) }, patience, 50*time.Millisecond)
		checkAnswers(t, c, agent, configs)
	}
	checkRetry(t, c, agents[0])
	for _, agent := range agents {
		status, page := c.call(http.MethodGet, agent, "/debug/cluster", "")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, "node-2")
		status, _ = c.call(http.MethodGet, agent, "/debug/ring", "")
		require.Equal(t, http.StatusOK, status)
	}
	for _, agent := range agents {
		require.NoError(t, agent.end(t))
	}
}

// hasSettled reports whether the agent sees three members, of which each unit's owner runs it.
func hasSettled(c caller, agent *running, configs int) bool {
	var state clusterAnswer
	c.get(agent, "cluster", &state)
	alive := 0
	for _, m := range state.Members {
		if m.Alive {
			alive++
		}
	}
	var units unitsAnswer
	c.get(agent, "cluster/units?state=claimed", &units)
	var running listAnswer
	c.get(agent, "cluster/instances", &running)
	for _, i := range running.Items {
		if i.Phase != "running" {
			return false
		}
	}
	return state.Settled && state.Permitted && state.Unowned == 0 && alive == 3 && len(units.Items) == configs && len(running.Items) == configs
}

func checkAnswers(t *testing.T, c caller, agent *running, configs int) {
	var units unitsAnswer
	c.get(agent, "cluster/units", &units)
	claimant, owned := map[string]string{}, map[string]int{}
	for _, u := range units.Items {
		require.Equal(t, u.Owner, u.ClaimedBy)
		require.Positive(t, u.Epoch)
		claimant[u.Config] = u.ClaimedBy
		owned[u.Owner]++
	}

	var instances listAnswer
	c.get(agent, "cluster/instances", &instances)
	require.Empty(t, instances.Unreachable)
	for _, i := range instances.Items {
		require.Equal(t, claimant[i.Name], i.Node)
	}
	seen, after := map[string]bool{}, ""
	for {
		var targets listAnswer
		c.get(agent, "cluster/targets?limit=7&after="+after, &targets)
		require.Equal(t, configs, targets.Total)
		for _, target := range targets.Items {
			require.Equal(t, claimant[target.Instance], target.Node)
			seen[target.Instance] = true
		}
		if after = targets.Next; after == "" {
			break
		}
	}
	require.Len(t, seen, configs)

	var plan struct {
		Moved int
		Nodes []struct {
			Node          string
			Before, After int
		}
	}
	c.get(agent, "cluster/plan?leave=node-2", &plan)
	require.Equal(t, owned["node-2"], plan.Moved)
	for _, n := range plan.Nodes {
		require.Equal(t, owned[n.Node], n.Before, "the plan goes by what the actors go by")
	}
}

// checkRetry has the agent, which is node-1, retry a config that another node runs.
func checkRetry(t *testing.T, c caller, agent *running) {
	var units unitsAnswer
	c.get(agent, "cluster/units?state=claimed", &units)
	for _, u := range units.Items {
		if u.ClaimedBy != "node-1" {
			status, answer := c.call(http.MethodPost, agent, "/agent/api/v1/metrics/instance/"+u.Config+"/retry", "")
			require.Equal(t, http.StatusOK, status, answer)
			require.Contains(t, answer, fmt.Sprintf(`"retried":["%s"]`, u.ClaimedBy))
			return
		}
	}
	require.Fail(t, "node-1 runs everything")
}

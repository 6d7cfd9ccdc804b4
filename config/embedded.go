package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"
)

// Embedded is the etcd server inside the process.
type Embedded struct {
	// DataDirectory is beside the WAL directory unless given; see Agent.
	DataDirectory string `yaml:"data_directory"`
	// ListenClient is host:port on loopback; port 0 takes a free one at each start.
	ListenClient string `yaml:"listen_client"`
	// ListenPeer is the same for the server's peers. With Peers it may be on any interface, has a
	// port, and may be empty: see Self.
	ListenPeer string `yaml:"listen_peer"`
	// Peers are all servers of the cluster, three or five, the node's own among them. Empty: a
	// single server.
	Peers []Peer `yaml:"peers"`
	// PeerTLS is how Peers with https:// URLs talk; empty without such.
	PeerTLS PeerTLS `yaml:"peer_tls"`
	// MaxSize is how large the database may get.
	MaxSize units.Base2Bytes `yaml:"max_size"`
	// Insecure says that Peers may talk without TLS although they are not all on this host.
	Insecure bool `yaml:"insecure"`
}

// Peer is one server of a cluster of embedded servers.
type Peer struct {
	// Name is the node's: its lifecycler.id or host name.
	Name string `yaml:"name"`
	// URL is where the other servers reach it: http://host:port or https://host:port.
	URL string `yaml:"url"`
}

// PeerTLS is the mutual TLS between peers. All of the files are given, or none. Absolute, or
// relative to the working directory.
type PeerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	CAFile   string `yaml:"ca_file"`
}

// Self returns the entry of the node that is called so, and the host:port on which it listens for
// its peers: ListenPeer or, where that is empty, the address in its URL, or that port on all IPv4
// interfaces if the URL has a name. It fails if the node is not among the peers, also where there
// are none.
func (e Embedded) Self(node string) (self Peer, listen string, err error) {
	var names []string
	for _, p := range e.Peers {
		if p.Name == node {
			self = p
		}
		names = append(names, p.Name)
	}
	if self.Name == "" {
		return Peer{}, "", fmt.Errorf("find this node among the peers: it is called %q, and metrics.scraping_service.kvstore.embedded.peers has %s; set lifecycler.id to one of these, or add it",
			node, strings.Join(names, ", "))
	}
	u, err := url.Parse(self.URL)
	switch {
	case err != nil:
		return Peer{}, "", fmt.Errorf("read the URL of peer %q: %w", node, err)
	case e.ListenPeer != "":
		return self, e.ListenPeer, nil
	case u.Hostname() == "localhost" || net.ParseIP(u.Hostname()) != nil:
		return self, u.Host, nil
	}
	return self, net.JoinHostPort("0.0.0.0", u.Port()), nil
}

func (d *document) embedded(n *yaml.Node, e Embedded) {
	d.loopback(n, "listen_client", e.ListenClient)
	if where, ok := at(n, "max_size"); ok && !d.bad[where] && (e.MaxSize < 64*units.MiB || e.MaxSize > 8*units.GiB) {
		d.fail(where, "the store's size is out of bounds", "write 64MiB to 8GiB")
	}
	list, clustered := at(n, "peers")
	if d.bad[list] {
		return
	}
	if !clustered || len(listed(list)) == 0 {
		d.loopback(n, "listen_peer", e.ListenPeer)
		if where, ok := at(n, "peer_tls"); ok {
			d.fail(where, "there are no peers to talk TLS with", "list them under peers, or remove the block")
		}
		return
	}
	d.hostPort(n, "listen_peer", e.ListenPeer, listenedOnFixed)
	if written := len(listed(list)); written != 3 && written != 5 {
		d.fail(list, fmt.Sprintf("there are %d peers: only three, of which one can be lost, and five, of which two can, make sense", written),
			"list three or five, or none for a single server")
	}
	names, urls := d.uniques("peer"), map[string]bool{}
	scheme := ""
	for i, item := range d.items(list) {
		if i >= len(e.Peers) {
			break
		}
		p := e.Peers[i]
		if where, _ := at(item, "name"); p.Name != "" {
			names.add(where, p.Name)
		} else if !d.told(item, "name") {
			d.fail(where, "the peer has no name", "write the node's lifecycler.id or host name")
		}
		scheme = d.peerURL(item, p, scheme, urls)
	}
	d.peerTLS(n, e.PeerTLS, scheme)
}

// peerURL checks one peer's URL, which has to have the scheme of those before it, and returns that
// scheme.
func (d *document) peerURL(n *yaml.Node, p Peer, scheme string, known map[string]bool) string {
	const hint = "write it like http://10.0.0.1:2380, or https:// with peer_tls"
	where, _ := at(n, "url")
	if p.URL == "" {
		if !d.told(n, "url") {
			d.fail(where, "the peer has no URL", hint)
		}
		return scheme
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		d.fail(where, "this is not a URL of a peer", hint)
		return scheme
	}
	if problem := addressProblem(u.Host, reached); problem != "" {
		d.fail(where, problem, hint)
		return scheme
	}
	if known[u.Host] {
		d.fail(where, "another peer has this address", "give each peer one of its own")
	}
	known[u.Host] = true
	if scheme != "" && scheme != u.Scheme {
		d.fail(where, "all peers must use http, or all https", hint)
		return scheme
	}
	return u.Scheme
}

func (d *document) peerTLS(n *yaml.Node, t PeerTLS, scheme string) {
	where, given := at(n, "peer_tls")
	complete := t.CertFile != "" && t.KeyFile != "" && t.CAFile != ""
	switch {
	case scheme == "https" && !given:
		d.fail(where, "peers with https:// need peer_tls", "give cert_file, key_file and ca_file")
	case given && !complete && !d.told(where, "cert_file") && !d.told(where, "key_file") && !d.told(where, "ca_file"):
		d.fail(where, "cert_file, key_file and ca_file are needed together", "peers show each other certificates that the authority in ca_file signed")
	case given && scheme == "http":
		d.fail(where, "the peers have http:// URLs, so there is no TLS", "write https:// in all of them, or remove the block")
	}
}

// loopback keeps the embedded store, which has no authentication, off the network.
func (d *document) loopback(n *yaml.Node, key, address string) {
	where, ok := at(n, key)
	if !ok || d.bad[where] {
		return
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		d.fail(where, "this is not a loopback address with a port", "write it like 127.0.0.1:2379")
	}
}

func allOnLoopback(peers []Peer) bool {
	return !slices.ContainsFunc(peers, func(p Peer) bool {
		u, err := url.Parse(p.URL)
		return err != nil || !isLoopback(u.Hostname())
	})
}

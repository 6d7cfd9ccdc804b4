package etcdstore

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.uber.org/zap"
)

// DefaultToken is Quorum.Token where that is empty.
const DefaultToken = "ringmaster"

// Quorum makes the embedded servers of several agents one etcd cluster: of three members one can be
// lost, of five two. All members are given the same Members and Token.
type Quorum struct {
	// Name is this agent's name in Members.
	Name string
	// Members is every member's name, and the address at which the others reach it: host:port, or
	// with http:// or https:// before it. Three, five or seven.
	Members map[string]string
	// Listen is the host:port to listen on for the other members, the host being an IP address or
	// localhost. Empty: this agent's own address in Members if that is an IP address or localhost,
	// else its port on all interfaces.
	Listen string
	// Token tells clusters apart that would otherwise have the same members. Empty is DefaultToken.
	Token string
	// TLS encrypts what members say to each other. nil: it is not encrypted, and whoever reaches
	// the port can read and write everything.
	TLS *PeerTLS
}

// PeerTLS is the encryption between members. The files may be renewed on disk.
type PeerTLS struct {
	// CertFile and KeyFile identify this member, as server and as client. Required.
	CertFile, KeyFile string
	// CAFile holds the authorities that sign the members' certificates; then members without one
	// are refused. Empty: the system's authorities are trusted for servers, and clients need no
	// certificate.
	CAFile string
}

// roster is a Quorum that was checked.
type roster struct {
	name   string
	token  string
	peers  map[string]string // name → URL, as etcd writes it
	listen url.URL
	tls    transport.TLSInfo
	// cluster is what etcd makes of the list at the cluster's first start: its ID and those of its
	// first members.
	cluster *membership.RaftCluster
}

func (q *Quorum) check() (*roster, error) {
	r := &roster{name: q.Name, token: q.Token, peers: map[string]string{}}
	if r.token == "" {
		r.token = DefaultToken
	}
	if n := len(q.Members); n != 3 && n != 5 && n != 7 {
		return nil, fmt.Errorf("a quorum needs three, five or seven members, not %d: an even number can lose no more than the odd one below it", n)
	}
	if _, ok := q.Members[q.Name]; !ok {
		return nil, fmt.Errorf("this member's name %q is not among the members %s", q.Name, names(q.Members))
	}
	if t := q.TLS; t != nil {
		r.tls = transport.TLSInfo{
			CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile, ClientCertAuth: t.CAFile != "",
			// The authority vouches for members; that they come from an address in their
			// certificate fails behind NAT.
			SkipClientSANVerify: true,
		}
		if t.CertFile == "" || t.KeyFile == "" {
			return nil, errors.New("TLS between members needs a certificate and its key")
		}
		if _, err := r.tls.ServerConfig(); err != nil {
			return nil, fmt.Errorf("read the files for TLS between members: %w", err)
		}
	}
	var own *url.URL
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(q.Members)) {
		u, err := r.parse(name, q.Members[name])
		if err != nil {
			return nil, fmt.Errorf("member %q at %q: %w", name, q.Members[name], err)
		}
		if other, ok := taken[u.Host]; ok {
			return nil, fmt.Errorf("members %q and %q have the same address %s", other, name, u.Host)
		}
		taken[u.Host] = name
		r.peers[name] = u.String()
		if name == q.Name {
			own = u
		}
	}
	if err := r.listenOn(q.Listen, own); err != nil {
		return nil, err
	}
	urls, err := types.NewURLsMap(r.list())
	if err != nil {
		return nil, err
	}
	r.cluster, err = membership.NewClusterFromURLsMap(zap.NewNop(), r.token, urls)
	return r, err
}

func (r *roster) parse(name, address string) (*url.URL, error) {
	if name == "" || strings.ContainsAny(name, "=, \t\n") {
		return nil, errors.New("a name must not be empty, nor have spaces, commas or =")
	}
	if !strings.Contains(address, "://") {
		address = r.scheme() + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(u.Host)
	switch {
	case err != nil || host == "" || port == "" || port == "0":
		return nil, errors.New("want host:port (etcd's usual port for this is 2380)")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("want host:port, nothing behind or before it")
	case net.ParseIP(host).IsUnspecified():
		return nil, errors.New("others can't connect to this address; it is one to listen on")
	case u.Scheme != r.scheme():
		return nil, fmt.Errorf("want %s://, which goes by the settings for TLS between members", r.scheme())
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

func (r *roster) scheme() string {
	if r.tls.Empty() {
		return "http"
	}
	return "https"
}

func (r *roster) listenOn(address string, own *url.URL) error {
	if address == "" {
		address = own.Host
		if host := own.Hostname(); host != "localhost" && net.ParseIP(host) == nil {
			address = net.JoinHostPort("0.0.0.0", own.Port())
		}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host != "localhost" && net.ParseIP(host) == nil {
		return fmt.Errorf("the address to listen on for members is %q, want host:port with an IP address or localhost", address)
	}
	r.listen = url.URL{Scheme: r.scheme(), Host: address}
	return nil
}

// list is the members as etcd wants them.
func (r *roster) list() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		all = append(all, name+"="+r.peers[name])
	}
	return strings.Join(all, ",")
}

// others are the members that are not this one, sorted.
func (r *roster) others() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.peers)), func(name string) bool { return name == r.name })
}

// apply makes a server's config that of a member. It joins a cluster that exists, or forms one
// together with the others.
func (r *roster) apply(c *embed.Config, join bool) {
	own, _ := url.Parse(r.peers[r.name])
	c.Name = r.name
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{r.listen}, []url.URL{*own}
	c.InitialCluster, c.InitialClusterToken = r.list(), r.token
	if join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	if c.AdvertiseClientUrls == nil {
		// There are no clients from outside, but this is how a cluster remembers that a member has
		// been started.
		c.AdvertiseClientUrls = c.AdvertisePeerUrls
	}
	c.PeerTLSInfo = r.tls
	// etcd's own defaults: a leader that is lost is replaced in one to two seconds, and a busy
	// machine is no lost leader.
	c.TickMs, c.ElectionMs = 100, 1000
}

// compare compares a cluster's members with the list.
func (r *roster) compare(members []*membership.Member) (strangers bool, missing int) {
	listed := slices.Collect(maps.Values(r.peers))
	for _, m := range members {
		strangers = strangers || !slices.Contains(listed, strings.Join(m.PeerURLs, "+"))
	}
	for _, peer := range listed {
		if memberAt(members, peer) == nil {
			missing++
		}
	}
	return strangers, missing
}

// incomplete says whether these are only some of this very cluster's members. A member knows no more
// that was killed right after its first start, and has not read its log to the end yet. It is no
// sign of that if only one is missing: that one is being replaced.
func (r *roster) incomplete(members []*membership.Member, clusterID string) bool {
	strangers, missing := r.compare(members)
	return !strangers && missing > 1 && clusterID == r.cluster.ID().String()
}

// differs tells how a cluster's members differ from the list; empty if they don't.
func (r *roster) differs(members []*membership.Member, clusterID string) string {
	strangers, missing := r.compare(members)
	if !strangers && missing <= 1 || r.incomplete(members, clusterID) {
		return ""
	}
	var there []string
	for _, m := range members {
		there = append(there, strings.Join(m.PeerURLs, "+"))
	}
	slices.Sort(there)
	return fmt.Sprintf("it has members at %s, the list here says %s", strings.Join(there, ", "), r.list())
}

// memberAt is the member with an address, nil if there is none.
func memberAt(members []*membership.Member, peer string) *membership.Member {
	for _, m := range members {
		if slices.Contains(m.PeerURLs, peer) {
			return m
		}
	}
	return nil
}

func names(members map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(members)), ", ")
}

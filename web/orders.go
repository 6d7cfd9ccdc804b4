package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/redact"
)

// ErrOrderRefused says that Cluster.Order has not taken an order, and why.
var ErrOrderRefused = errors.New("order refused")

// OrderKind is what a person wants of the cluster until it is taken back.
type OrderKind string

// The kinds of orders. The first two are about a config, the others about a node.
const (
	// HoldConfig stops a config on all nodes; ReleaseConfig ends that.
	HoldConfig    OrderKind = "hold"
	ReleaseConfig OrderKind = "release"
	// CordonNode keeps a node from taking units that it does not run. DrainNode has it give away
	// those that it runs, too. UncordonNode ends either.
	CordonNode   OrderKind = "cordon"
	DrainNode    OrderKind = "drain"
	UncordonNode OrderKind = "uncordon"
)

// Order is one order.
type Order struct {
	Kind OrderKind
	// Name is that of the config or of the node.
	Name string
	// Reason and By are shown to people.
	Reason, By string
	// Force goes with DrainNode: also if the other nodes are too few.
	Force bool
}

// Standing is an order that the cluster goes by. Its JSON is in GET /agent/api/v1/cluster.
type Standing struct {
	Kind   OrderKind `json:"order"`
	Name   string    `json:"name"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Problem says why the store's record can't be read; it counts all the same.
	Problem string `json:"problem,omitempty"`
}

func (s Standing) redacted() Standing {
	s.Reason, s.By, s.Problem = redact.Text(s.Reason), redact.Text(s.By), redact.Text(s.Problem)
	return s
}

// orderJSON is the body of a request that orders something; all of it may be left out.
type orderJSON struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	Force  bool   `json:"force"`
}

// orderedJSON is data of the answer.
type orderedJSON struct {
	Order OrderKind `json:"order"`
	Name  string    `json:"name"`
}

func (s *Server) orderRoutes() []route {
	post := func(kind OrderKind) methods { return methods{http.MethodPost: s.clustered(s.takeOrder(kind))} }
	return []route{
		{api + "/config/{name}/hold", post(HoldConfig)},
		{api + "/config/{name}/release", post(ReleaseConfig)},
		{clusterAPI + "/nodes/{name}/cordon", post(CordonNode)},
		{clusterAPI + "/nodes/{name}/drain", post(DrainNode)},
		{clusterAPI + "/nodes/{name}/uncordon", post(UncordonNode)},
	}
}

// takeOrder answers once the store has the order. Any node takes it for all of them.
func (s *Server) takeOrder(kind OrderKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body orderJSON
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
			failAPI(w, http.StatusBadRequest, problem{Error: `read order: ` + err.Error() + ` (for example {"reason": "disk is replaced"})`})
			return
		}
		o := Order{Kind: kind, Name: r.PathValue("name"), Reason: body.Reason, By: body.By, Force: body.Force}
		if failed := s.order(r, o); failed != nil {
			failed.answer(w)
			return
		}
		succeed(w, http.StatusOK, orderedJSON{kind, o.Name})
	}
}

// order gives an order to the cluster. Who gives it is who the request says, or comes from.
func (s *Server) order(r *http.Request, o Order) *refusal {
	if o.By == "" {
		o.By = requester(r)
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	err := s.opts.Cluster.Order(ctx, o)
	s.log.Info("operator request", zap.String("order", string(o.Kind)), zap.String("name", o.Name), zap.String("by", o.By), zap.String("reason", o.Reason), zap.Error(err))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cluster.ErrNotFound):
		return &refusal{http.StatusNotFound, o.nothing()}
	case errors.Is(err, ErrOrderRefused):
		return &refusal{http.StatusConflict, fmt.Sprintf("%s %q: %v", o.Kind, o.Name, err)}
	default:
		return refuseWith(http.StatusServiceUnavailable, fmt.Sprintf("%s %q", o.Kind, o.Name), err)
	}
}

// nothing says what there is not.
func (o Order) nothing() string {
	switch o.Kind {
	case HoldConfig:
		return fmt.Sprintf("there is no config %q", o.Name)
	case ReleaseConfig:
		return fmt.Sprintf("config %q is not held", o.Name)
	case UncordonNode:
		return fmt.Sprintf("node %q is neither cordoned nor drained", o.Name)
	default:
		return fmt.Sprintf("there is no node %q", o.Name)
	}
}

// requester is who a request comes from, as well as that can be told: its user, the name in its
// certificate, or its address.
func requester(r *http.Request) string {
	if user, _, ok := r.BasicAuth(); ok && user != "" {
		return user
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// maxFormBytes caps the form that forgets a member.
const maxFormBytes = 64 << 10

// ringJSON is what /debug/ring answers to Accept: application/json; names and order are Grafana
// Agent's.
type ringJSON struct {
	Shards []memberJSON `json:"shards"`
	Now    time.Time    `json:"now"`
}

type memberJSON struct {
	ID         string   `json:"id"`
	State      string   `json:"state"`
	Address    string   `json:"address"`
	Timestamp  string   `json:"timestamp"`
	Registered string   `json:"registered_timestamp"`
	Zone       string   `json:"zone"`
	Tokens     []uint32 `json:"tokens"`
}

func (s *Server) showRing(w http.ResponseWriter, r *http.Request) {
	if s.opts.Ring == nil {
		writeText(w, http.StatusNotFound, "there is no ring: the scraping service is off")
		return
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	members, err := s.sortedMembers(ctx)
	if err != nil {
		writeText(w, http.StatusInternalServerError, "list members: "+err.Error())
		return
	}
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, describeRing(members, s.opts.Now()))
		return
	}
	http.Redirect(w, r, "/cluster", http.StatusFound)
}

// forgetMember removes a member's record; the form's field is forget.
func (s *Server) forgetMember(w http.ResponseWriter, r *http.Request) {
	if s.opts.Ring == nil {
		writeText(w, http.StatusNotFound, "there is no ring: the scraping service is off")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		writeText(w, http.StatusBadRequest, "read form: "+err.Error())
		return
	}
	id := r.PostForm.Get("forget")
	if id == "" {
		writeText(w, http.StatusBadRequest, "the form's field forget names no member")
		return
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	err := s.opts.Ring.Forget(ctx, id)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		writeText(w, http.StatusNotFound, "there is no member of this name")
	case errors.Is(err, ErrForgetSelf), errors.Is(err, ErrMemberStays):
		writeText(w, http.StatusConflict, err.Error())
	case err != nil:
		s.log.Warn("forget member", zap.String("node", id), zap.Error(err))
		writeText(w, http.StatusInternalServerError, "forget member: "+err.Error())
	default:
		s.log.Info("member forgotten", zap.String("node", id))
		http.Redirect(w, r, "/cluster?forgotten=yes", http.StatusFound)
	}
}

func (s *Server) sortedMembers(ctx context.Context) ([]Member, error) {
	members, err := s.opts.Ring.Members(ctx)
	if err != nil {
		return nil, err
	}
	return sortMembers(members), nil
}

func describeRing(members []Member, now time.Time) ringJSON {
	ring := ringJSON{Shards: make([]memberJSON, 0, len(members)), Now: now}
	for _, m := range members {
		tokens := append([]uint32{}, m.Tokens...)
		slices.Sort(tokens)
		ring.Shards = append(ring.Shards, memberJSON{
			ID: m.ID, State: m.State, Address: m.Address, Zone: m.Zone,
			Timestamp: formatTime(m.Seen), Registered: formatTime(m.Registered),
			Tokens: tokens,
		})
	}
	return ring
}

// formatTime shows what is not known as nothing.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

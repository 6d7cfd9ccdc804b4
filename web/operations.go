package web

import (
	"context"
	"net/http"
	"strings"

	"go.uber.org/zap"
)

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, "Agent is Healthy.")
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if waiting := s.opts.Ready(); len(waiting) > 0 {
		writeText(w, http.StatusServiceUnavailable, "Agent is not Ready.\n- "+strings.Join(waiting, "\n- "))
		return
	}
	text := "Agent is Ready."
	if late := s.opts.Late(); len(late) > 0 {
		text += "\nLate:\n- " + strings.Join(late, "\n- ")
	}
	writeText(w, http.StatusOK, text)
}

// agentConfig answers the running agent config. It needs the read API, as the contents of configs do.
func (s *Server) agentConfig(w http.ResponseWriter, _ *http.Request) {
	if !s.opts.ReadAPI || s.opts.AgentConfig == nil {
		writeText(w, http.StatusNotFound, "reading the config is off (-config.enable-read-api)")
		return
	}
	text, err := s.opts.AgentConfig()
	if err != nil {
		writeText(w, http.StatusInternalServerError, "read config: "+err.Error())
		return
	}
	writeBody(w, http.StatusOK, "text/yaml; charset=utf-8", []byte(text))
}

// reload applies the agent's config file again.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.opts.Reload == nil {
		writeText(w, http.StatusNotFound, "this agent can't reload its config")
		return
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	// Half a reload is worse than one nobody waits for.
	if err := s.opts.Reload(context.WithoutCancel(r.Context())); err != nil {
		s.log.Warn("reload config", zap.Error(err))
		writeText(w, http.StatusBadRequest, "reload config: "+err.Error())
		return
	}
	writeText(w, http.StatusOK, "config reloaded")
}

// replaceStoreMember lets a member of the quorum in again whose disk was wiped.
func (s *Server) replaceStoreMember(w http.ResponseWriter, r *http.Request) {
	if s.opts.ReplaceStoreMember == nil {
		writeText(w, http.StatusNotFound, "this agent's store is not one of several that are embedded in agents")
		return
	}
	name := r.PathValue("name")
	ctx, cancel := s.storeContext(r)
	defer cancel()
	if err := s.opts.ReplaceStoreMember(ctx, name); err != nil {
		s.log.Warn("replace member of the store", zap.String("node", name), zap.Error(err))
		writeText(w, http.StatusConflict, err.Error())
		return
	}
	s.log.Info("member of the store may come back without its data", zap.String("node", name))
	writeText(w, http.StatusOK, "start "+name+" now, with an empty data directory")
}

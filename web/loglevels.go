package web

import (
	"encoding/json"
	"net/http"

	"go.uber.org/zap"
)

// LogLevels are the levels of the process' log, which can be changed while it runs.
type LogLevels interface {
	// All returns the default level and those of components that have one of their own.
	All() (standard string, components map[string]string)
	// SetDefault sets the default level: debug, info, warn or error.
	SetDefault(level string) error
	// SetComponent gives a component a level of its own; an empty level takes it away.
	SetComponent(component, level string) error
}

// logLevelsJSON is body and data of /agent/api/v1/log-levels.
type logLevelsJSON struct {
	Default    string            `json:"default"`
	Components map[string]string `json:"components"`
}

func (s *Server) showLogLevels(w http.ResponseWriter, _ *http.Request) {
	standard, components := s.opts.LogLevels.All()
	succeed(w, http.StatusOK, logLevelsJSON{standard, components})
}

// setLogLevels changes what the body names. A level of "" ends a component's own. Nothing is kept
// over a restart, and a reload of the agent's config sets the default again.
func (s *Server) setLogLevels(w http.ResponseWriter, r *http.Request) {
	var wanted logLevelsJSON
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wanted); err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: `read log levels: ` + err.Error() + ` (for example {"default": "info", "components": {"instance": "debug"}})`})
		return
	}
	if err := s.applyLogLevels(wanted); err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	s.log.Info("log levels changed", zap.String("default", wanted.Default), zap.Any("components", wanted.Components))
	s.showLogLevels(w, r)
}

func (s *Server) applyLogLevels(wanted logLevelsJSON) error {
	if wanted.Default != "" {
		if err := s.opts.LogLevels.SetDefault(wanted.Default); err != nil {
			return err
		}
	}
	for component, level := range wanted.Components {
		if err := s.opts.LogLevels.SetComponent(component, level); err != nil {
			return err
		}
	}
	return nil
}

package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// envelope is the shape of every answer of the API.
type envelope struct {
	Status string `json:"status"`
	Data   any    `json:"data,omitempty"`
}

// problem is the data of an envelope that tells of an error.
type problem struct {
	Error string `json:"error"`
	// Errors, ours: every problem of a refused config on its own.
	Errors []configError `json:"errors,omitempty"`
}

type configError struct {
	Line    int    `json:"line,omitempty"`
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

func succeed(w http.ResponseWriter, status int, data any) {
	writeJSON(w, status, envelope{Status: "success", Data: data})
}

func failAPI(w http.ResponseWriter, status int, p problem) {
	p.Error = redact.Text(p.Error)
	for i := range p.Errors {
		p.Errors[i].Problem, p.Errors[i].Hint = redact.Text(p.Errors[i].Problem), redact.Text(p.Errors[i].Hint)
	}
	writeJSON(w, status, envelope{Status: "error", Data: p})
}

// refuse answers an error in the shape of the place: the envelope within the API, plain text elsewhere.
func refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, "/agent/api/") {
		failAPI(w, status, problem{Error: text})
		return
	}
	writeText(w, status, text)
}

// writeJSON encodes before it writes, so that a value which can't be encoded still gets a clean 500.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	// The content type keeps browsers from reading it as HTML; <secret> stays legible.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		writeText(w, http.StatusInternalServerError, "encode answer: "+err.Error())
		return
	}
	w.Header().Set("Cache-Control", "no-store") // it is of this moment, and for who asked
	writeBody(w, status, "application/json", buf.Bytes())
}

func writeText(w http.ResponseWriter, status int, text string) {
	writeBody(w, status, "text/plain; charset=utf-8", []byte(redact.Text(text)+"\n"))
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// An error means that the client has gone, and there is nobody left to tell.
	_, _ = w.Write(body)
}

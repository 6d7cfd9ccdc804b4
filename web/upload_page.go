package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

type uploadData struct {
	Name, ConfigLink string
	// Known: the form was opened for Revision of the config, and replaces no other. Otherwise it
	// was opened for a config that did not exist.
	Known    bool
	Revision int64
	// Moved: the store holds another revision than the form was opened for, or the config is gone.
	Moved  bool
	Text   string
	Note   string
	Done   string
	Failed string
	Errors []configError

	Difference       []diffLine
	DifferenceRemark string
}

// uploadPage is the form by which a person uploads a config, or changes one. What it does passes
// the checks and the limits of the API.
func (s *Server) uploadPage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.uploadForm(w, r)
		return
	}
	data := uploadData{Name: r.URL.Query().Get("name")}
	if data.Name != "" {
		if err := config.ValidateName(data.Name); err != nil {
			s.failPage(w, r, refuseWith(http.StatusBadRequest, "", err))
			return
		}
		text, masked, revision := s.storedFor(r, &data)
		data.openedFor(revision)
		switch {
		case !data.Known:
		case masked == "":
			data.Note = "Paste the whole text: what is stored can't be shown here."
		case strings.Contains(masked, redact.Mark):
			data.Note = "Paste the whole text: what is stored has secrets, which are masked here, so that it can't be edited on this page."
		case masked != text:
			data.Text, data.Note = masked, "Comments that could hold a secret, and the layout, may differ from what is stored."
		default:
			data.Text = text
		}
	}
	s.showUpload(w, r, data)
}

// openedFor sets the revision that the form replaces; 0: the config must not exist.
func (d *uploadData) openedFor(revision int64) {
	d.Known, d.Revision = revision > 0, revision
	if d.Known {
		d.ConfigLink = pages.ConfigPath(d.Name)
	}
}

// storedFor returns the stored text of the config, the same masked, and its revision: 0 if the
// store has none. If the store can't be read, the revision is that of the form.
func (s *Server) storedFor(r *http.Request, data *uploadData) (text, masked string, revision int64) {
	ctx, cancel := s.storeContext(r)
	defer cancel()
	stored, err := s.opts.Configs.Get(ctx, data.Name)
	if err != nil {
		if !errors.Is(err, cluster.ErrNotFound) {
			data.Failed, revision = redact.Text("The store can't be read: "+err.Error()), data.Revision
		}
		return "", "", revision
	}
	if s.opts.ReadAPI && stored.Err == nil {
		masked, _ = config.MaskInstance(stored.Text) // empty where it can't be masked
	}
	return stored.Text, masked, stored.Revision
}

func (s *Server) showUpload(w http.ResponseWriter, r *http.Request, data uploadData) {
	title, same := "Upload a config", "/configs"
	if data.Known {
		title, same = "Change "+data.Name, data.ConfigLink
	}
	s.show(w, r, "upload.html", pages.Frame{Title: title, Current: "/configs", JSON: same + "?format=json", Data: data})
}

// uploadForm checks what was sent, and stores it if that is asked for.
func (s *Server) uploadForm(w http.ResponseWriter, r *http.Request) {
	if !s.mayUpload(w, r) {
		return
	}
	// Each byte of the text may be three in a form.
	r.Body = http.MaxBytesReader(w, r.Body, 3*s.opts.MaxConfigBytes+4096)
	err := r.ParseForm()
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n") // browsers send these
	s.uploads.spend(clientOf(r), len(text))
	if err != nil || int64(len(text)) > s.opts.MaxConfigBytes {
		s.failPage(w, r, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("config is larger than %d bytes, or the form is malformed", s.opts.MaxConfigBytes)})
		return
	}
	name := r.PostForm.Get("name")
	data := uploadData{Name: name, Text: text}
	cond, failed := formCondition(name, text, r.PostForm.Get("revision"))
	var valid validUpload
	if failed == nil {
		valid, failed = s.checkConfig(name, text)
	}
	if failed == nil && r.PostForm.Get("do") == "upload" {
		if _, failed = s.storeConfig(r, valid, cond); failed == nil {
			http.Redirect(w, r, pages.ConfigPath(name), http.StatusSeeOther)
			return
		}
	}
	if config.ValidateName(name) == nil {
		// The form keeps its condition: what somebody else has stored meanwhile was not seen by the
		// person.
		data.openedFor(cond.Revision)
		_, masked, revision := s.storedFor(r, &data)
		data.Moved = revision != data.Revision
		if shown, err := config.MaskInstance(text); err == nil && masked != "" {
			data.Difference, data.DifferenceRemark = diffOf(masked, shown)
		}
	}
	if failed == nil {
		data.Done = "Nothing is wrong with it. Nothing has been stored."
		s.showUpload(w, r, data)
		return
	}
	data.Failed = redact.Text(failed.Error)
	for _, e := range failed.Errors {
		e.Problem, e.Hint = redact.Text(e.Problem), redact.Text(e.Hint)
		data.Errors = append(data.Errors, e)
	}
	if len(data.Errors) > 0 {
		data.Failed = "It is refused, and nothing has been stored."
	}
	s.showUpload(w, r, data)
}

// formCondition is what has to hold for a form: that nobody has changed what the person looked at.
func formCondition(name, text, revision string) (cond cluster.Condition, failed *failure) {
	cond.Absent = revision == ""
	if !cond.Absent {
		n, err := strconv.ParseInt(revision, 10, 64)
		if err != nil || n <= 0 {
			return cond, &failure{problem{Error: "revision: this is not a revision"}, http.StatusBadRequest}
		}
		cond.Revision = n
	}
	if err := config.ValidateName(name); err != nil {
		return cond, &failure{problem{Error: err.Error()}, http.StatusBadRequest}
	}
	if strings.Contains(text, redact.Mark) {
		return cond, &failure{problem{Error: "the text has " + redact.Mark + " where a secret belongs: it was copied from where secrets are masked"}, http.StatusBadRequest}
	}
	return cond, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// fieldPort is where every target listens, each on its own loopback address.
const fieldPort = 19_100

// field serves the targets of a shape from first on, and the sink if it is the first of several fields.
type field struct {
	shape  shape
	sink   *sink
	bodies sync.Pool // *[]byte
	gzips  sync.Pool // *gzip.Writer
}

// serveField is the whole life of a field process: it says where its sink is, and ends when its
// standard input does.
func serveField(name string, first, count int, out io.Writer) error {
	s, err := shapeByName(name)
	if err != nil {
		return err
	}
	counts := newSink()
	f := &field{shape: s, sink: counts}
	for i := first; i < first+count; i++ {
		listener, err := net.Listen("tcp", s.address(i, fieldPort))
		if err != nil {
			return fmt.Errorf("listen for target %d: %w", i, err)
		}
		serve(listener, f.target(i))
	}
	mux := http.NewServeMux()
	mux.Handle("POST /write", counts)
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(counts.reset()) })
	mux.HandleFunc("POST /refuse", func(http.ResponseWriter, *http.Request) { counts.refuses.Store(true) })
	mux.HandleFunc("POST /take", func(http.ResponseWriter, *http.Request) { counts.refuses.Store(false) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for remote write: %w", err)
	}
	serve(listener, mux)
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serve serves until the process ends.
func serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "bench: serve:", err)
		}
	}()
}

func (f *field) target(i int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.sink.scraped()
		buffer, ok := f.bodies.Get().(*[]byte)
		if !ok {
			buffer = new([]byte)
		}
		defer f.bodies.Put(buffer)
		*buffer = f.shape.appendBody((*buffer)[:0], i, time.Now())
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			_, _ = w.Write(*buffer)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z, ok := f.gzips.Get().(*gzip.Writer)
		if !ok {
			z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
		}
		defer f.gzips.Put(z)
		z.Reset(w)
		_, _ = z.Write(*buffer)
		_ = z.Close()
	})
}

// reset asks a sink for its count and starts a new one.
func reset(ctx context.Context, address string) (c counted, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/reset", nil)
	if err != nil {
		return c, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	return c, json.NewDecoder(response.Body).Decode(&c)
}

package main

import (
	"flag"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
)

func echo(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address")
	_ = flags.Parse(args)
	handler := func(w http.ResponseWriter, r *http.Request) {
		// All of it first: over HTTP/1.1 a server reads no more of a body once it answers.
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
	return http.ListenAndServe(*listen, http.HandlerFunc(handler))
}

// proxy is the baseline as a careful user would write it: connections to the backend are kept, one
// for each concurrent request (the default keeps two), and buffers are reused.
func proxy(args []string) error {
	flags := flag.NewFlagSet("proxy", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address")
	to := flags.String("to", "", "the backend's address")
	_ = flags.Parse(args)
	target := &url.URL{Scheme: "http", Host: *to}
	reverse := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:  &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
		BufferPool: pool{make(chan []byte, 512)},
	}
	return http.ListenAndServe(*listen, reverse)
}

type pool struct{ buffers chan []byte }

func (p pool) Get() []byte {
	select {
	case buffer := <-p.buffers:
		return buffer
	default:
		return make([]byte, 32<<10)
	}
}

func (p pool) Put(buffer []byte) {
	select {
	case p.buffers <- buffer:
	default:
	}
}

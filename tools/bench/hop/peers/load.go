package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const kinds = 64 // different bodies, each signed once: a signature is no cheaper the second time

type result struct {
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	Failed   int     `json:"failed"`
	Why      string  `json:"why,omitempty"`
}

// load keeps so many connections busy, one request at a time on each.
func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	to := flags.String("to", "", "address")
	path := flags.String("path", "/", "path")
	size := flags.Int("size", 64, "bytes of a body")
	connections := flags.Int("connections", 1, "connections")
	seconds := flags.Float64("seconds", 1, "how long")
	access := flags.String("access-key", "", "sign with this key; none: do not sign")
	secret := flags.String("secret", os.Getenv("PEERS_SECRET"), "its secret")
	unsigned := flags.Bool("unsigned-payload", false, "leave the body out of the signature")
	event := flags.Bool("event", false, "the echo is a function URL's event, longer than the body")
	_ = flags.Parse(args)

	requests := make([][]byte, kinds)
	for number := range requests {
		body := document(*size, number)
		requests[number] = render(*to, *path, body, *access, *secret, *unsigned)
	}
	var group sync.WaitGroup
	var lock sync.Mutex
	var times []time.Duration
	total := result{}
	began := time.Now()
	stop := began.Add(time.Duration(*seconds * float64(time.Second)))
	for number := range *connections {
		group.Go(func() {
			own, err := drive(*to, requests, number, stop, *size, *event)
			lock.Lock()
			defer lock.Unlock()
			times = append(times, own...)
			if err != nil {
				total.Failed++
				total.Why = err.Error()
			}
		})
	}
	group.Wait()
	total.Seconds = time.Since(began).Seconds()
	total.Requests = len(times)
	if len(times) > 0 {
		slices.Sort(times)
		total.P50 = float64(times[len(times)/2].Nanoseconds()) / 1000
		total.P99 = float64(times[len(times)*99/100].Nanoseconds()) / 1000
	}
	return json.NewEncoder(os.Stdout).Encode(total)
}

// document is a JSON string of exactly size bytes.
func document(size, number int) []byte {
	text := fmt.Sprintf("%03d", number)
	return []byte(`"` + text + strings.Repeat("x", size-2-len(text)) + `"`)
}

func drive(to string, requests [][]byte, first int, stop time.Time, size int, event bool) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	var times []time.Duration
	for number := first; ; number++ {
		began := time.Now()
		if began.After(stop) {
			return times, nil
		}
		if _, err := conn.Write(requests[number%len(requests)]); err != nil {
			return times, err
		}
		if err := answer(in, size, event); err != nil {
			return times, err
		}
		times = append(times, time.Since(began))
	}
}

// answer reads one response with a Content-Length; anything but 200 and the echoed size is an error.
func answer(in *bufio.Reader, size int, event bool) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		rest, _ := io.ReadAll(io.LimitReader(in, 1024))
		return fmt.Errorf("%s %s", strings.TrimSpace(string(status)), rest)
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if length < size || (length > size && !event) {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	_, err = in.Discard(length)
	return err
}

// render writes a request as botocore sends it: the same headers, the same signature.
func render(host, path string, body []byte, access, secret string, unsigned bool) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "POST %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: identity\r\n", path, host)
	out.WriteString("User-Agent: Boto3/1.44.0 md/Botocore#1.44.0 md/awscrt#0.38.0 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.13 md/pyimpl#CPython m/b,Z,N,E,e cfg/retry-mode#standard Botocore/1.44.0\r\n")
	if access != "" {
		stamp := time.Now().UTC().Format("20060102T150405Z")
		digest := sha256.Sum256(body)
		payload := hex.EncodeToString(digest[:])
		signed := [][2]string{{"host", host}, {"x-amz-date", stamp}}
		fmt.Fprintf(&out, "X-Amz-Date: %s\r\n", stamp)
		if unsigned {
			payload = "UNSIGNED-PAYLOAD"
			signed = slices.Insert(signed, 1, [2]string{"x-amz-content-sha256", payload})
			fmt.Fprintf(&out, "X-Amz-Content-SHA256: %s\r\n", payload)
		}
		fmt.Fprintf(&out, "Authorization: %s\r\n", authorization(path, signed, payload, stamp, access, secret))
	}
	fmt.Fprintf(&out, "amz-sdk-invocation-id: 0b9c3b4e-5a0e-4d3c-9a9d-2f4a7d1f8e11\r\namz-sdk-request: attempt=1\r\n")
	fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n", len(body))
	out.Write(body)
	return out.Bytes()
}

func authorization(path string, headers [][2]string, payload, stamp, access, secret string) string {
	var names, lines []string
	for _, each := range headers {
		names = append(names, each[0])
		lines = append(lines, each[0]+":"+each[1])
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join(append([]string{"POST", path, ""}, append(lines, "", signed, payload)...), "\n")
	digest := sha256.Sum256([]byte(canonical))
	scope := stamp[:8] + "/us-east-1/lambda/aws4_request"
	key := "AWS4" + secret
	for _, part := range strings.Split(scope, "/") {
		raw, _ := hex.DecodeString(sum(key, part))
		key = string(raw)
	}
	signature := sum(key, "AWS4-HMAC-SHA256", stamp, scope, hex.EncodeToString(digest[:]))
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		access, scope, signed, signature)
}

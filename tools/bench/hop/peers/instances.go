package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
)

// Frame types of docs/runtime-contract.md §1 that an echo needs.
const (
	hello, challenge, proof, assign, invoke, data = 1, 2, 3, 4, 5, 6
	query, assigned, state, accepted, head, end   = 9, 16, 18, 20, 21, 22
	piece                                         = 64 << 10
)

// instances dials a gateway as so many instances of one Deployment would, and answers every event
// with itself, in the order and pieces in which init answers. It does not run functions.
func instances(args []string) error {
	flags := flag.NewFlagSet("instances", flag.ExitOnError)
	gateway := flags.String("gateway", "", "address")
	key := flags.String("key", "", "installation key")
	namespace := flags.String("namespace", "default", "namespace")
	deployment := flags.String("deployment", "", "Deployment")
	count := flags.Int("count", 1, "how many")
	_ = flags.Parse(args)
	token := sum(*key, "instance", *namespace, *deployment)
	ended := make(chan error)
	for number := range *count {
		go func() {
			name := fmt.Sprintf("%s-%d", *deployment, number)
			ended <- serve(*gateway, *namespace, name, "uid-"+name, token)
		}()
	}
	return <-ended
}

func sum(key string, parts ...string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(mac.Sum(nil))
}

type instance struct {
	in      *bufio.Reader
	out     net.Conn
	buffer  bytes.Buffer
	payload []byte
}

func serve(gateway, namespace, pod, uid, token string) error {
	conn, err := net.Dial("tcp", gateway)
	if err != nil {
		return err
	}
	defer conn.Close()
	one := &instance{in: bufio.NewReaderSize(conn, 128<<10), out: conn}
	if err := one.greet(namespace, pod, uid, token); err != nil {
		return err
	}
	for {
		kind, header, err := one.next()
		if err != nil {
			return err
		}
		switch kind {
		case assign:
			one.put(assigned, map[string]any{"digest": "d"}, nil)
			one.put(state, map[string]any{"state": "idle", "served": 0}, nil)
		case query:
			one.put(state, map[string]any{"state": "idle", "served": 0}, nil)
		case invoke:
			err = one.run(header)
		}
		if err == nil {
			err = one.flush()
		}
		if err != nil {
			return err
		}
	}
}

func (i *instance) greet(namespace, pod, uid, token string) error {
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	nonce, boot := hex.EncodeToString(random), "boot-"+pod
	i.put(hello, map[string]any{"versions": []int{1}, "namespace": namespace, "pod": pod,
		"podUid": uid, "boot": boot, "nonce": nonce}, nil)
	if err := i.flush(); err != nil {
		return err
	}
	kind, header, err := i.next()
	if err != nil {
		return err
	}
	var asked struct{ Nonce, Mac string }
	if kind != challenge || json.Unmarshal(header, &asked) != nil {
		return errors.New("no challenge")
	}
	if asked.Mac != sum(token, "gateway", nonce, asked.Nonce, uid, boot) {
		return errors.New("the gateway does not know the token")
	}
	mac := sum(token, "instance", asked.Nonce, nonce, uid, boot)
	i.put(proof, map[string]any{"mac": mac, "state": "unassigned"}, nil)
	return i.flush()
}

func (i *instance) run(header []byte) error {
	var asked struct {
		Attempt string
		Size    int
	}
	if err := json.Unmarshal(header, &asked); err != nil {
		return err
	}
	event := append([]byte(nil), i.payload...)
	for len(event) < asked.Size {
		kind, _, err := i.next()
		if err != nil {
			return err
		}
		if kind == data {
			event = append(event, i.payload...)
		}
	}
	i.raw(accepted, fmt.Appendf(nil, `{"attempt":%q,"cold":false}`, asked.Attempt), nil)
	first := event[:min(len(event), piece)]
	i.raw(head, fmt.Appendf(nil, `{"attempt":%q,"contentType":"application/json","mode":"buffered","size":%d}`,
		asked.Attempt, len(event)), first)
	for at := piece; at < len(event); at += piece {
		i.raw(data, fmt.Appendf(nil, `{"attempt":%q}`, asked.Attempt), event[at:min(len(event), at+piece)])
	}
	i.raw(end, fmt.Appendf(nil, `{"attempt":%q,"status":"success","durationMs":0.42,"billedMs":1,`+
		`"maxMemoryMb":32,"bytesIn":%d,"bytesOut":%d}`, asked.Attempt, len(event), len(event)), nil)
	return nil
}

func (i *instance) put(kind byte, header map[string]any, body []byte) {
	text, _ := json.Marshal(header)
	i.raw(kind, text, body)
}

func (i *instance) raw(kind byte, header, body []byte) {
	var prefix [9]byte
	binary.BigEndian.PutUint32(prefix[0:], uint32(5+len(header)+len(body)))
	prefix[4] = kind
	binary.BigEndian.PutUint32(prefix[5:], uint32(len(header)))
	i.buffer.Write(prefix[:])
	i.buffer.Write(header)
	i.buffer.Write(body)
}

func (i *instance) flush() error {
	_, err := i.out.Write(i.buffer.Bytes())
	i.buffer.Reset()
	return err
}

// next returns a frame's type and header; its body is i.payload until the next call.
func (i *instance) next() (byte, []byte, error) {
	var prefix [9]byte
	if _, err := io.ReadFull(i.in, prefix[:]); err != nil {
		return 0, nil, err
	}
	length, size := binary.BigEndian.Uint32(prefix[0:]), binary.BigEndian.Uint32(prefix[5:])
	rest := make([]byte, length-5)
	if _, err := io.ReadFull(i.in, rest); err != nil {
		return 0, nil, err
	}
	i.payload = rest[size:]
	return prefix[4], rest[:size], nil
}

package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// heldFactor bounds what waits for a slow subscriber: so many of its batches.
const heldFactor = 4

// subscriber buffers and delivers.
type subscriber struct {
	*Subscription
	now    func() time.Time
	ctx    context.Context
	stop   context.CancelFunc
	client *http.Client
	conn   net.Conn // of TCP; only the sender uses it

	mu          sync.Mutex
	idle        sync.Cond
	pending     [][]byte
	size        int
	due         bool // the pending ones are to be sent now
	sending     bool
	timer       *time.Timer
	lost        int
	lostBytes   int
	lastProblem string
}

func newSubscriber(s *Subscription, now func() time.Time) *subscriber {
	ctx, cancel := context.WithCancel(context.Background())
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Address)
	}
	n := &subscriber{
		Subscription: s, now: now, ctx: ctx, stop: cancel,
		client: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1}},
	}
	n.idle.L = &n.mu
	return n
}

// take buffers an event, if it is wanted; it never blocks.
func (s *subscriber) take(e event) {
	if !s.wants(e.stream, e.kind) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+len(e.text) > heldFactor*s.MaxBytes || len(s.pending) >= heldFactor*s.MaxItems {
		s.drop(1, len(e.text), "Subscriber is too slow: the buffer is full")
		return
	}
	s.add(e.text)
}

func (s *subscriber) add(text []byte) {
	s.pending = append(s.pending, text)
	s.size += len(text)
	switch {
	case len(s.pending) >= s.MaxItems || s.size >= s.MaxBytes:
		s.send()
	case len(s.pending) == 1:
		s.wait()
	}
}

func (s *subscriber) wait() {
	if s.timer == nil {
		s.timer = time.AfterFunc(s.Timeout, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.send()
		})
		return
	}
	s.timer.Reset(s.Timeout)
}

// send has the pending events sent, soon, by the one sender; the mutex is held.
func (s *subscriber) send() {
	s.due = true
	if !s.sending && len(s.pending) > 0 {
		s.sending = true
		go s.run()
	}
}

func (s *subscriber) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.due && len(s.pending) > 0 && s.ctx.Err() == nil {
		batch, size := s.batch()
		s.due = len(s.pending) > 0 && s.due
		s.mu.Unlock()
		err := s.deliver(batch)
		s.mu.Lock()
		if err != nil && s.ctx.Err() == nil {
			s.drop(len(batch), size, fmt.Sprintf("Delivery failed: %v", err))
		} else {
			s.confess()
		}
	}
	s.sending, s.due = false, false
	s.idle.Broadcast()
	if len(s.pending) > 0 && s.ctx.Err() == nil {
		s.wait()
	}
}

// batch takes what one delivery may carry.
func (s *subscriber) batch() (batch [][]byte, size int) {
	count := 0
	for count < len(s.pending) && count < s.MaxItems && (count == 0 || size+len(s.pending[count]) <= s.MaxBytes) {
		size += len(s.pending[count])
		count++
	}
	batch = s.pending[:count:count]
	s.pending = append([][]byte(nil), s.pending[count:]...)
	s.size -= size
	return batch, size
}

func (s *subscriber) drop(count, size int, problem string) {
	s.lost += count
	s.lostBytes += size
	s.lastProblem = problem
}

// confess tells what was dropped, once deliveries work again.
func (s *subscriber) confess() {
	if s.lost == 0 || !s.wants(Platform, "logsDropped") {
		s.lost, s.lostBytes = 0, 0
		return
	}
	text, err := json.Marshal(map[string]any{
		"time": s.now().UTC().Format("2006-01-02T15:04:05.000Z"), "type": "platform.logsDropped",
		"record": map[string]any{"droppedRecords": s.lost, "droppedBytes": s.lostBytes, "reason": s.lastProblem},
	})
	s.lost, s.lostBytes = 0, 0
	if err == nil {
		s.pending = append(s.pending, text)
		s.size += len(text)
		s.due = true
	}
}

func (s *subscriber) deliver(batch [][]byte) error {
	if s.Protocol == "TCP" {
		return s.write(append(bytes.Join(batch, []byte("\n")), '\n'))
	}
	body := append(append([]byte("["), bytes.Join(batch, []byte(","))...), ']')
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

func (s *subscriber) write(lines []byte) error {
	if s.conn == nil {
		conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.Address)
		if err != nil {
			return err
		}
		s.conn = conn
		context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	}
	if _, err := s.conn.Write(lines); err != nil {
		_ = s.conn.Close()
		s.conn = nil
		return err
	}
	return nil
}

// flush sends what is there and waits, but not beyond the deadline.
func (s *subscriber) flush(deadline time.Time) {
	late := false
	timer := time.AfterFunc(time.Until(deadline), func() {
		s.mu.Lock()
		late = true
		s.idle.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for (s.sending || len(s.pending) > 0) && !late && s.ctx.Err() == nil {
		s.send()
		s.idle.Wait()
	}
}

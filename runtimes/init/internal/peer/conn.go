// Package peer keeps init connected to every gateway: addresses, dialling, handshake, and the way frames go out.
//
// Nothing dials an instance; one connection per gateway is opened from here (docs/runtime-contract.md §1). A Conn reads
// frames one after another (a flooding gateway is held up by its own socket) and writes from a goroutine of its own (a
// slow gateway holds up nobody). What frames mean, the Handler knows.
package peer

import (
	"errors"
	"net"
	"sync"
	"time"

	"klambda.io/init/internal/frame"
)

const (
	// queueLimit is where a gateway that does not read is given up; two full answers fit.
	queueLimit = 16 << 20
	// batchLimit is what is written at once.
	batchLimit = 256 << 10
	// writeLimit is the silence after which a gateway is given up (docs/runtime-contract.md, keep-alive).
	writeLimit = 20 * time.Second
	// lazyDelay is how long a frame may wait for one that it can travel with.
	lazyDelay = 2 * time.Millisecond
	inlineMax = 4096
)

// ErrClosed says that the gateway is gone.
var ErrClosed = errors.New("connection closed")

// Conn is one live connection after its handshake.
type Conn struct {
	ID      uint64
	Gateway string
	socket  net.Conn

	mu     sync.Mutex
	wake   sync.Cond // the writer: something to do
	room   sync.Cond // Flush: something has gone out
	queue  net.Buffers
	queued int
	lazy   bool // what is queued may wait
	timer  *time.Timer
	closed bool
}

func newConn(id uint64, gateway string, socket net.Conn) *Conn {
	c := &Conn{ID: id, Gateway: gateway, socket: socket}
	c.wake.L, c.room.L = &c.mu, &c.mu
	go c.write()
	return c
}

// Send queues a frame; it never blocks. Body must not change afterwards.
func (c *Conn) Send(kind frame.Type, header any, body []byte) { c.enqueue(kind, header, body, false) }

// SendLazily queues a frame that goes out with the next one, or soon.
func (c *Conn) SendLazily(kind frame.Type, header any) { c.enqueue(kind, header, nil, true) }

// SendBulk queues bytes as data frames, after a first frame that carries the first piece of them.
func (c *Conn) SendBulk(kind frame.Type, header any, attempt string, body []byte) {
	first := min(len(body), frame.Piece)
	c.Send(kind, header, body[:first])
	for body = body[first:]; len(body) > 0; {
		piece := min(len(body), frame.Piece)
		c.Send(frame.Data, frame.DataHeader{Attempt: attempt}, body[:piece])
		body = body[piece:]
	}
}

// Close ends the connection; the reader notices and tells the handler.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
}

func (c *Conn) closeLocked() {
	if c.closed {
		return
	}
	c.closed = true
	_ = c.socket.Close()
	c.wake.Broadcast()
	c.room.Broadcast()
}

func (c *Conn) enqueue(kind frame.Type, header any, body []byte, lazy bool) {
	text, err := frame.Encode(kind, header, len(body))
	if err != nil {
		c.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(body) <= inlineMax {
		c.queue = append(c.queue, append(text, body...))
	} else {
		c.queue = append(c.queue, text, body)
	}
	c.queued += len(text) + len(body)
	if c.queued > queueLimit {
		c.closeLocked()
		return
	}
	if lazy {
		c.lazy = c.lazy || len(c.queue) == 1
		c.delay()
		return
	}
	if c.lazy {
		c.lazy = false
		c.timer.Stop()
	}
	c.wake.Signal()
}

// Flush waits until everything is written, or until the limit.
func (c *Conn) Flush(limit time.Duration) {
	expired := time.AfterFunc(limit, c.Close)
	defer expired.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lazy = false
	c.wake.Signal()
	for c.queued > 0 && !c.closed {
		c.room.Wait()
	}
}

func (c *Conn) delay() {
	if c.timer == nil {
		c.timer = time.AfterFunc(lazyDelay, func() {
			c.mu.Lock()
			c.lazy = false
			c.wake.Signal()
			c.mu.Unlock()
		})
		return
	}
	c.timer.Reset(lazyDelay)
}

func (c *Conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spare net.Buffers
	for {
		for (len(c.queue) == 0 || c.lazy) && !c.closed {
			c.wake.Wait()
		}
		if c.closed {
			return
		}
		batch := c.queue
		c.queue = spare[:0]
		c.mu.Unlock()
		err := c.flush(batch)
		clear(batch)
		spare = batch
		c.mu.Lock()
		if err != nil {
			c.closeLocked()
			return
		}
	}
}

// flush writes a batch piece by piece of limited size, each with its own time limit.
func (c *Conn) flush(batch net.Buffers) error {
	for len(batch) > 0 {
		count, size := 0, 0
		for count < len(batch) && (count == 0 || size+len(batch[count]) <= batchLimit) {
			size += len(batch[count])
			count++
		}
		part := batch[:count:count]
		batch = batch[count:]
		_ = c.socket.SetWriteDeadline(time.Now().Add(writeLimit))
		var err error
		if count == 1 {
			_, err = c.socket.Write(part[0])
		} else {
			_, err = part.WriteTo(c.socket)
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.queued -= size
		c.room.Broadcast()
		c.mu.Unlock()
	}
	return nil
}

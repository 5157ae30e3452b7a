// Command forward passes TCP connections from a loopback address to the cluster's node port.
//
//	forward <listen address> <target address>
//
// The bytes are spliced inside the kernel (io.Copy between two TCP connections), so that what is
// measured through it is the gateway, not the forwarder.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

const dialTimeout = 5 * time.Second

func main() {
	if len(os.Args) != 3 {
		log.Fatalf("usage: %s <listen address> <target address>", os.Args[0])
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Printf("accept: %v", err)
			time.Sleep(50 * time.Millisecond) // out of file descriptors: let some close
			continue
		}
		go forward(connection.(*net.TCPConn), os.Args[2])
	}
}

func forward(client *net.TCPConn, target string) {
	defer client.Close()
	dialled, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		log.Printf("dial %s: %v", target, err)
		return
	}
	server := dialled.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	both.Add(2)
	go pass(&both, server, client)
	go pass(&both, client, server)
	both.Wait()
}

// pass copies one direction and hands on its end, so that half-closed connections work.
func pass(done *sync.WaitGroup, to, from *net.TCPConn) {
	defer done.Done()
	if _, err := io.Copy(to, from); err != nil {
		to.SetLinger(0) // a broken connection is passed on as one, not as an orderly end
		to.Close()
		return
	}
	to.CloseWrite()
}

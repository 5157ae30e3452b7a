// Command peers is the other side of the hop benchmark: what stands around the gateway, kept cheap
// so that the gateway is what is measured.
//
//	peers echo -listen A           an HTTP server that answers with the request's body
//	peers proxy -listen A -to B    httputil.ReverseProxy in front of it: the baseline
//	peers instances …              instances that dial a gateway, speak frames and echo
//	peers function                 a bootstrap that does nothing, below a real init
//	peers load …                   closed-loop clients; prints one line of JSON
package main

import (
	"fmt"
	"os"
)

func main() {
	verbs := map[string]func([]string) error{
		"echo": echo, "proxy": proxy, "instances": instances, "load": load, "function": function,
	}
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers echo|proxy|instances|load …")
		os.Exit(2)
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

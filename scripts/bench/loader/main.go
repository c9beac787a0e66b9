// Loads and apps of `npm run bench`, in one program. Each command prints one line of JSON with what it saw.
//
// It is in Go because its timers and its collector disturb a measurement less than Node's, and raw (frames, not a gRPC
// library) because the loader and the app share the machine with the proxies: what they spend, the proxies lack.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"time"
)

// memoryLimitBytes: the collector rests until the heap is this large, so that it does not fall into a measurement.
const memoryLimitBytes = 512 << 20

type options struct {
	port, connections, streams, rate, count int
	seconds                                 float64
	bytes                                   int64
	path, direction                         string
	certificate, key                        string
	resume                                  bool
}

var commands = map[string]func(options) (any, error){
	"grpc-server": serveGrpc,
	"grpc-load":   loadGrpc,
	"app":         serveApp,
	"stream":      stream,
	"rate":        loadAtRate,
	"handshakes":  handshakes,
	"idle":        holdIdle,
}

func main() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimitBytes)
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := []string{}
		for name := range commands {
			names = append(names, name)
		}
		sort.Strings(names)
		fail(2, fmt.Errorf("usage: loader COMMAND [OPTIONS], COMMAND one of %v", names))
	}
	result, err := commands[os.Args[1]](readOptions(os.Args[2:]))
	if err != nil {
		fail(1, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(1, err)
	}
}

func readOptions(args []string) options {
	o := options{}
	flags := flag.NewFlagSet("loader", flag.ExitOnError)
	flags.IntVar(&o.port, "port", 0, "port on loopback, of the proxy or to listen on")
	flags.IntVar(&o.connections, "connections", 1, "client connections")
	flags.IntVar(&o.streams, "streams", 1, "requests in flight, over all connections together")
	flags.IntVar(&o.rate, "rate", 1000, "requests per second, over all connections together")
	flags.IntVar(&o.count, "count", 1, "how many connections to hold")
	flags.Float64Var(&o.seconds, "seconds", 4, "how long")
	flags.Int64Var(&o.bytes, "bytes", 100_000_000, "length of a streamed body")
	flags.StringVar(&o.path, "path", "/1k", "path to ask for")
	flags.StringVar(&o.direction, "direction", "down", "down: the answer is long; up: the request is")
	flags.StringVar(&o.certificate, "certificate", "", "client certificate, PEM")
	flags.StringVar(&o.key, "key", "", "its private key, PEM")
	flags.BoolVar(&o.resume, "resume", false, "offer the session of the connection before")
	_ = flags.Parse(args) // ExitOnError: it returns only when all is well
	return o
}

func (o options) address() string { return fmt.Sprintf("127.0.0.1:%d", o.port) }

func (o options) duration() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, "loader:", err)
	os.Exit(code)
}

// Grpc is the gRPC peer of the tests: the interop client and server of grpc-go, and a client and a server that tell what
// they see, for what interop does not cover. Servers print {"event":"ready","port":N} and end with their standard input.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Large enough for every message of the tests.
const maxMessageBytes = 128 << 20

func main() {
	log.SetFlags(0)
	commands := map[string]func([]string){
		"interop-server": interopServer,
		"interop-client": interopClient,
		"interop-types":  interopTypes,
		"server":         telltaleServer,
		"unary":          unary,
		"deadline":       deadline,
		"cancel":         cancellation,
		"abort":          abort,
		"transfer":       transfer,
		"streams":        streams,
		"share":          share,
		"give-up":        giveUp,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		log.Fatalf("usage: grpc COMMAND [OPTIONS], where COMMAND is one of %v", keys(commands))
	}
	commands[os.Args[1]](os.Args[2:])
}

var telling sync.Mutex

// tell prints one line of JSON.
func tell(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		log.Fatal(err)
	}
	telling.Lock()
	defer telling.Unlock()
	fmt.Println(string(line))
}

type event map[string]any

// serve answers on a free loopback port until standard input ends.
func serve(server *grpc.Server) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	tell(event{"event": "ready", "port": listener.Addr().(*net.TCPAddr).Port})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(server.Serve(listener))
}

// connect makes a channel to address that never asks a resolver, by HTTP/2 with prior knowledge.
func connect(address, authority string, options ...grpc.DialOption) *grpc.ClientConn {
	options = append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	)
	if authority != "" {
		options = append(options, grpc.WithAuthority(authority))
	}
	connection, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		log.Fatal(err)
	}
	return connection
}

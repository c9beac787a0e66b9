package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
)

// serve answers with what it knows of the caller; whoever is not the expected one fails in the handshake.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	who := identityFlags(flags)
	alpn := flags.String("alpn", "h2,http/1.1", "protocols it speaks")
	once := flags.Bool("once", false, "one request a connection")
	flags.Parse(args)
	svid, err := who.svid()
	if err != nil {
		return err
	}
	roots, err := who.roots()
	if err != nil {
		return err
	}
	expected, err := spiffeid.FromString(*who.expect)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(strings.Contains(*alpn, "http/1.1"))
	protocols.SetHTTP2(strings.Contains(*alpn, "h2"))
	server := http.Server{
		TLSConfig: tlsconfig.MTLSServerConfig(svid, roots, tlsconfig.AuthorizeID(expected)),
		Protocols: &protocols,
		ErrorLog:  log.New(told{}, "", 0),
		Handler: http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
			json.NewEncoder(response).Encode(answer(request.TLS))
		}),
	}
	server.SetKeepAlivesEnabled(!*once)
	tell(map[string]any{"event": "ready", "port": listener.Addr().(*net.TCPAddr).Port})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return server.ServeTLS(listener, "", "")
}

func answer(state *tls.ConnectionState) map[string]any {
	fields := connectionFields(state)
	fields["by"] = "go-spiffe"
	return fields
}

// told is where the server writes what went wrong with a connection: a line each.
type told struct{}

func (told) Write(text []byte) (int, error) {
	tell(map[string]any{"event": "failed", "reason": strings.TrimSpace(string(text))})
	return len(text), nil
}

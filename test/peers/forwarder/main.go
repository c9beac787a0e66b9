// Forwarder takes plaintext connections and passes their bytes, unread, over mutual TLS with ALPN h2: for programs that
// speak HTTP/2 to a mesh but have no client certificate.
//
// It prints {"event":"ready","port":N} when it listens, and ends when its standard input does.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	protocol    = "h2"
)

func main() {
	to := flag.String("to", "", "HOST:PORT of the mutual TLS listener")
	certificate := flag.String("certificate", "", "client certificate, PEM")
	key := flag.String("key", "", "its private key, PEM")
	bundle := flag.String("ca", "", "roots of the server's certificate, PEM")
	flag.Parse()

	configuration, err := clientConfiguration(*certificate, *key, *bundle)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	json.NewEncoder(os.Stdout).Encode(map[string]any{"event": "ready", "port": port})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(connection.(*net.TCPConn), *to, configuration)
	}
}

// clientConfiguration trusts any certificate that the bundle's roots signed: a mesh names workloads by SPIFFE ID, which
// the standard library's check of host names does not know.
func clientConfiguration(certificate, key, bundle string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{
		Certificates:       []tls.Certificate{pair},
		NextProtos:         []string{protocol},
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots:     roots,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			return err
		},
	}, nil
}

// forward passes each side's end on as a half-close and a broken connection as a broken connection.
func forward(plain *net.TCPConn, to string, configuration *tls.Config) {
	defer plain.Close()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: configuration}
	connection, err := dialer.Dial("tcp", to)
	if err != nil {
		log.Printf("dial %s: %v", to, err)
		plain.SetLinger(0)
		return
	}
	secure := connection.(*tls.Conn)
	defer secure.Close()
	if got := secure.ConnectionState().NegotiatedProtocol; got != protocol {
		log.Printf("%s negotiated %q, not %q", to, got, protocol)
		plain.SetLinger(0)
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := io.Copy(secure, plain); err == nil {
			secure.CloseWrite()
		} else {
			secure.NetConn().Close()
		}
	}()
	if _, err := io.Copy(plain, secure); err == nil {
		plain.CloseWrite()
	} else {
		plain.SetLinger(0)
		plain.Close()
	}
	<-sent
}

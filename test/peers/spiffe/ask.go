package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
)

const requestTimeout = 10 * time.Second

func ask(args []string) error {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	who := identityFlags(flags)
	to := flags.String("to", "", "HOST:PORT")
	host := flags.String("host", "orders.shop", "what the requests name as host")
	path := flags.String("path", "/orders", "")
	alpn := flags.String("alpn", "http/1.1", "http/1.1 or h2: the only one that is offered; none: HTTP/1.1 and no offer")
	library := flags.String("library", "go-spiffe", "go-spiffe or crypto/tls: who judges the server")
	maximum := flags.String("max-version", "1.3", "1.2 or 1.3")
	connections := flags.Int("connections", 1, "requests, each over a connection of its own, one after the other")
	resume := flags.Bool("resume", false, "keep sessions, so that later connections may resume the first")
	flags.Parse(args)
	config, err := who.clientConfig(*library)
	if err != nil {
		return err
	}
	if *maximum == "1.2" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if *resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	for range *connections {
		tell(request(config, *alpn, "https://"+*to+*path, *host))
	}
	return nil
}

// clientConfig proves who this is, where it has a certificate, and judges the server's.
func (i identity) clientConfig(library string) (*tls.Config, error) {
	roots, err := i.roots()
	if err != nil {
		return nil, err
	}
	expected, err := spiffeid.FromString(*i.expect)
	if err != nil {
		return nil, err
	}
	if library == "crypto/tls" {
		return i.plainConfig(roots, expected)
	}
	if *i.certificate == "" {
		return tlsconfig.TLSClientConfig(roots, tlsconfig.AuthorizeID(expected)), nil
	}
	svid, err := i.svid()
	if err != nil {
		return nil, err
	}
	return tlsconfig.MTLSClientConfig(svid, roots, tlsconfig.AuthorizeID(expected)), nil
}

// plainConfig needs nothing but crypto/tls and crypto/x509, and judges resumed connections too.
func (i identity) plainConfig(roots *x509bundle.Bundle, expected spiffeid.ID) (*tls.Config, error) {
	pool := x509.NewCertPool()
	for _, root := range roots.X509Authorities() {
		pool.AddCert(root)
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // the name is a SPIFFE ID: VerifyConnection judges it
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			intermediates := x509.NewCertPool()
			for _, above := range state.PeerCertificates[1:] {
				intermediates.AddCert(above)
			}
			options := x509.VerifyOptions{Roots: pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			if _, err := leaf.Verify(options); err != nil {
				return err
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != expected.String() {
				return fmt.Errorf("%v is not %s", leaf.URIs, expected)
			}
			return nil
		},
	}
	if *i.certificate != "" {
		own, err := tls.LoadX509KeyPair(*i.certificate, *i.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

func request(config *tls.Config, alpn, url, host string) map[string]any {
	var protocols http.Protocols
	protocols.SetHTTP1(alpn != "h2")
	protocols.SetHTTP2(alpn == "h2")
	offering := config.Clone()
	if alpn != "none" {
		offering.NextProtos = []string{alpn}
	}
	transport := &http.Transport{TLSClientConfig: offering, Protocols: &protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: requestTimeout}
	asked, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	asked.Host = host
	response, err := client.Do(asked)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && len(response.TLS.PeerCertificates) == 0 {
		err = errors.New("the server presented no certificate")
	}
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	told := connectionFields(response.TLS)
	told["status"] = response.StatusCode
	told["body"] = string(body)
	return told
}

// connectionFields tells what a handshake came to.
func connectionFields(state *tls.ConnectionState) map[string]any {
	fields := map[string]any{
		"alpn":       state.NegotiatedProtocol,
		"resumed":    state.DidResume,
		"tlsVersion": tls.VersionName(state.Version),
	}
	if len(state.PeerCertificates) > 0 && len(state.PeerCertificates[0].URIs) == 1 {
		fields["peerId"] = state.PeerCertificates[0].URIs[0].String()
	}
	return fields
}

// Spiffe is a peer of other making: mutual TLS by go-spiffe and by Go's crypto/tls, certificates judged by both.
//
//	spiffe ask -to HOST:PORT …   asks over a connection of its own for each request, and prints a line for each
//	spiffe serve …               a server; prints {"event":"ready","port":N}, ends when its standard input does
//	spiffe verify …              holds a certificate against a bundle, by crypto/x509 and by go-spiffe
//	spiffe csr -type P-256       prints a certificate request
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// What all of them need: who this is, whom it trusts, whom it expects.
type identity struct {
	certificate, key, bundle, domain, expect *string
}

func identityFlags(flags *flag.FlagSet) identity {
	return identity{
		certificate: flags.String("cert", "", "file of the certificate chain; empty: none is presented"),
		key:         flags.String("key", "", "file of its key"),
		bundle:      flags.String("bundle", "", "file of roots"),
		domain:      flags.String("domain", "cluster.local", "trust domain of the roots"),
		expect:      flags.String("expect", "", "SPIFFE ID that the other side must have"),
	}
}

func (i identity) svid() (*x509svid.SVID, error) { return x509svid.Load(*i.certificate, *i.key) }

func (i identity) roots() (*x509bundle.Bundle, error) {
	domain, err := spiffeid.TrustDomainFromString(*i.domain)
	if err != nil {
		return nil, err
	}
	return x509bundle.Load(domain, *i.bundle)
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("spiffe ask | serve | verify | csr")
	}
	commands := map[string]func([]string) error{"ask": ask, "serve": serve, "verify": verify, "csr": csr}
	command, ok := commands[os.Args[1]]
	if !ok {
		log.Fatalf("spiffe %s: no such command", os.Args[1])
	}
	if err := command(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func tell(fields map[string]any) { json.NewEncoder(os.Stdout).Encode(fields) }

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"net/url"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// verify tells what each of Go's judges finds: null where it finds nothing wrong.
func verify(args []string) error {
	flags := flag.NewFlagSet("verify", flag.ExitOnError)
	who := identityFlags(flags)
	flags.Parse(args)
	roots, err := who.roots()
	if err != nil {
		return err
	}
	svid, err := who.svid()
	if err != nil {
		tell(map[string]any{"go-spiffe": err.Error()})
		return nil
	}
	id, _, err := x509svid.Verify(svid.Certificates, roots)
	tell(map[string]any{
		"id":        id.String(),
		"go-spiffe": reason(err),
		"server":    reason(chain(svid, roots.X509Authorities(), x509.ExtKeyUsageServerAuth)),
		"client":    reason(chain(svid, roots.X509Authorities(), x509.ExtKeyUsageClientAuth)),
	})
	return nil
}

func chain(svid *x509svid.SVID, authorities []*x509.Certificate, usage x509.ExtKeyUsage) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range authorities {
		roots.AddCert(root)
	}
	for _, above := range svid.Certificates[1:] {
		intermediates.AddCert(above)
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}}
	_, err := svid.Certificates[0].Verify(options)
	return err
}

func reason(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}

// csr asks for more than anybody gets: a name, DNS names, to be an authority.
func csr(args []string) error {
	flags := flag.NewFlagSet("csr", flag.ExitOnError)
	uri := flags.String("uri", "spiffe://cluster.local/ns/shop/sa/somebody-else", "the identity that it asks for")
	kind := flags.String("type", "P-256", "P-256, P-384, P-521, RSA or Ed25519")
	flags.Parse(args)
	key, err := newKey(*kind)
	if err != nil {
		return err
	}
	wanted, err := url.Parse(*uri)
	if err != nil {
		return err
	}
	template := &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "somebody-else", Organization: []string{"shop"}},
		URIs:            []*url.URL{wanted},
		DNSNames:        []string{"somebody-else.shop"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}},
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return err
	}
	tell(map[string]any{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))})
	return nil
}

func newKey(kind string) (crypto.Signer, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	if curve, ok := curves[kind]; ok {
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	switch kind {
	case "RSA":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no keys of type %s", kind)
}

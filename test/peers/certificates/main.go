// Certificates makes chains of certificates with Go's crypto/x509, one a line of JSON:
// {"name": what it is, "root": DER, "chain": [DER, …]}, in base64, leaf first. With a file of such lines it judges them.
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
	"encoding/json"
	"log"
	"math/big"
	"net/url"
	"os"
	"time"
)

const identity = "spiffe://cluster.local/ns/shop/sa/web"

type issuer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func main() {
	if len(os.Args) > 1 {
		judgeFile(os.Args[1])
		return
	}
	makeChains()
}

func makeChains() {
	kinds := []struct {
		name   string
		newKey func() crypto.Signer
	}{
		{"P-256", func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }},
		{"P-384", func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }},
		{"RSA-2048", func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }},
		{"Ed25519", func() crypto.Signer {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return must(key, err)
		}},
	}
	for _, kind := range kinds {
		root := authority("Root "+kind.name, nil, kind.newKey(), nil)
		middle := authority("Issuing "+kind.name, root, kind.newKey(), nil)
		bounded := authority("Bounded "+kind.name, root, kind.newKey(), []string{"cluster.local"})
		elsewhere := authority("Elsewhere "+kind.name, root, kind.newKey(), []string{".example"})
		print(kind.name+" below its root", root, leaf(root, kind.newKey()))
		print(kind.name+" below an intermediate", root, leaf(middle, kind.newKey()), middle.certificate.Raw)
		print(kind.name+" below one for its domain", root, leaf(bounded, kind.newKey()), bounded.certificate.Raw)
		print(kind.name+" below one for another", root, leaf(elsewhere, kind.newKey()), elsewhere.certificate.Raw)
	}
}

func authority(name string, above *issuer, key crypto.Signer, domains []string) *issuer {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Go"}, CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains:   domains,
	}
	if domains != nil {
		template.PermittedDNSDomainsCritical = true
		template.MaxPathLenZero = true
	}
	parent, signer := template, key
	if above != nil {
		parent, signer = above.certificate, above.key
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &issuer{must(x509.ParseCertificate(raw)), key}
}

func leaf(above *issuer, key crypto.Signer) []byte {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{must(url.Parse(identity))},
		DNSNames:              []string{"web.shop"},
	}
	return must(x509.CreateCertificate(rand.Reader, template, above.certificate, key.Public(), above.key))
}

func serial() *big.Int {
	return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)))
}

func print(name string, root *issuer, chain ...[]byte) {
	line := map[string]any{"name": name, "root": root.certificate.Raw, "chain": chain}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

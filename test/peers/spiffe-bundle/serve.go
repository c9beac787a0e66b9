package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const (
	lifetime    = time.Hour
	refreshHint = 5 * time.Minute
)

type root struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// A trust domain that changes its roots when it is told to.
type domain struct {
	id     spiffeid.ID
	mutex  sync.Mutex
	roots  []root
	svid   *x509svid.SVID
	bundle *spiffebundle.Bundle
}

func serve(id spiffeid.ID) error {
	one := &domain{id: id, bundle: spiffebundle.New(id.TrustDomain())}
	one.bundle.SetRefreshHint(refreshHint)
	// a key of another use, which readers of X509-SVIDs pass over
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := one.bundle.AddJWTAuthority("of-another-use", key.Public()); err != nil {
		return err
	}
	if err := errors.Join(one.add(), one.use()); err != nil {
		return err
	}
	handler, err := federation.NewHandler(id.TrustDomain(), one.bundle)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, TLSConfig: tlsconfig.TLSServerConfig(one), ReadHeaderTimeout: lifetime}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	go func() { _ = http.Serve(control, one.commands()) }()
	tell(map[string]any{
		"event":   "ready",
		"port":    listener.Addr().(*net.TCPAddr).Port,
		"control": control.Addr().(*net.TCPAddr).Port,
		"roots":   one.rootsPem(),
	})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// GetX509SVID makes the domain the source of what its server proves itself with.
func (d *domain) GetX509SVID() (*x509svid.SVID, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.svid, nil
}

func (d *domain) commands() http.Handler {
	mux := http.NewServeMux()
	for path, command := range map[string]func() error{"/add": d.add, "/use": d.use, "/drop": d.drop} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := command(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, d.rootsPem())
		})
	}
	return mux
}

func (d *domain) add() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := template(d.id.TrustDomain().ID().URL())
	if err != nil {
		return err
	}
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.Subject = pkix.Name{CommonName: fmt.Sprintf("root %d", template.SerialNumber)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.roots = append(d.roots, root{certificate, key})
	d.publish()
	return nil
}

func (d *domain) use() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := template(d.id.URL())
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	newest := d.roots[len(d.roots)-1]
	der, err := x509.CreateCertificate(rand.Reader, template, newest.certificate, key.Public(), newest.key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	d.svid = &x509svid.SVID{ID: d.id, Certificates: []*x509.Certificate{leaf}, PrivateKey: key}
	return nil
}

func (d *domain) drop() error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if len(d.roots) < 2 {
		return errors.New("the last root stays")
	}
	d.roots = d.roots[1:]
	d.publish()
	return nil
}

func (d *domain) publish() {
	authorities := []*x509.Certificate{}
	for _, one := range d.roots {
		authorities = append(authorities, one.certificate)
	}
	sequence, _ := d.bundle.SequenceNumber()
	d.bundle.SetX509Authorities(authorities)
	d.bundle.SetSequenceNumber(sequence + 1)
}

func (d *domain) rootsPem() string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	text := []byte{}
	for _, one := range d.roots {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.certificate.Raw})...)
	}
	return string(text)
}

func template(uri *url.URL) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(lifetime),
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{uri},
	}, nil
}

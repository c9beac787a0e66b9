// Spiffe-bundle is a bundle endpoint of another trust domain, and a client of ours, by go-spiffe.
//
//	spiffe-bundle serve -id SPIFFE-ID
//	    serves the bundle of the ID's trust domain (profile https_spiffe), under a root and a certificate of its own making; prints
//	    {"event":"ready","port":N,"control":M,"roots":PEM}. POST to the control port, on loopback, without TLS: /add makes a further
//	    root, /use proves the server by the newest, /drop leaves the oldest out; each answers with the roots. Ends when its standard input does.
//	spiffe-bundle fetch -url URL -id SPIFFE-ID -roots FILE
//	    fetches a bundle from a server that must prove the ID under these roots; prints {"event":"fetched",…}.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const fetchTimeout = 20 * time.Second

func main() {
	if len(os.Args) < 2 {
		log.Fatal("spiffe-bundle serve | spiffe-bundle fetch")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	id := flags.String("id", "", "SPIFFE ID of the server")
	url := flags.String("url", "", "of the bundle")
	roots := flags.String("roots", "", "file; PEM")
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	server, err := spiffeid.FromString(*id)
	if err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "serve":
		err = serve(server)
	case "fetch":
		err = fetch(server, *url, *roots)
	default:
		err = fmt.Errorf("unknown command %s", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func tell(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

func fetch(server spiffeid.ID, url, rootsFile string) error {
	trustDomain := server.TrustDomain()
	known, err := x509bundle.Load(trustDomain, rootsFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, trustDomain, url, federation.WithSPIFFEAuth(known, server))
	if err != nil {
		tell(map[string]any{"event": "fetched", "error": err.Error()})
		return nil
	}
	authorities := []string{}
	for _, authority := range bundle.X509Authorities() {
		authorities = append(authorities, base64.StdEncoding.EncodeToString(authority.Raw))
	}
	sequence, _ := bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	tell(map[string]any{
		"event":    "fetched",
		"roots":    authorities,
		"sequence": sequence,
		"hintS":    hint.Seconds(),
	})
	return nil
}

package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"os"
	"time"
)

// question is a chain, leaf first, that is to be judged as of a TLS client at a time.
type question struct {
	Root  []byte   `json:"root"`
	Chain [][]byte `json:"chain"`
	NowMs int64    `json:"nowMs"`
}

// judgeFile answers each line of the file by crypto/x509's verdict: {"complaint": ""} where the chain is good.
func judgeFile(path string) {
	file := must(os.Open(path))
	defer file.Close()
	answers := json.NewEncoder(os.Stdout)
	questions := json.NewDecoder(bufio.NewReader(file))
	for {
		var next question
		err := questions.Decode(&next)
		if err == io.EOF {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		complaint := ""
		if err := judge(next); err != nil {
			complaint = err.Error()
		}
		if err := answers.Encode(map[string]string{"complaint": complaint}); err != nil {
			log.Fatal(err)
		}
	}
}

func judge(asked question) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	root, err := x509.ParseCertificate(asked.Root)
	if err != nil {
		return err
	}
	roots.AddCert(root)
	var leaf *x509.Certificate
	for _, raw := range asked.Chain {
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return err
		}
		if leaf == nil {
			leaf = certificate
		} else {
			intermediates.AddCert(certificate)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   time.UnixMilli(asked.NowMs),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

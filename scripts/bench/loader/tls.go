package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// openers is how many handshakes run at a time.
const openers = 16

// tlsConfiguration is that of a meshed client. The server's chain is not checked: that work is the loader's, not the
// proxy's. One curve, so that every proxy does the same work.
func tlsConfiguration(o options) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, NextProtos: []string{"http/1.1"},
	}, nil
}

type handshakeFigures struct {
	Handshakes int     `json:"handshakes"`
	PerSecond  float64 `json:"perSecond"`
	Resumed    int     `json:"resumed"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"firstError"`
}

// handshakes opens connections one after the other, `openers` at a time. Each is ended in order by us and read to the
// server's end: TLS 1.3 tells a client nothing of the server's verdict on its certificate before that.
func handshakes(o options) (any, error) {
	base, err := tlsConfiguration(o)
	if err != nil {
		return nil, err
	}
	t := &tally{}
	var done, resumed atomic.Int64
	var group sync.WaitGroup
	end := time.Now().Add(o.duration())
	for range openers {
		group.Add(1)
		go func() {
			defer group.Done()
			configuration := base.Clone()
			configuration.ServerName = "server"
			if o.resume {
				configuration.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			for time.Now().Before(end) {
				isResumed, err := handshakeOnce(o, configuration)
				if err != nil {
					t.fail(1, err)
					continue
				}
				done.Add(1)
				if isResumed {
					resumed.Add(1)
				}
			}
		}()
	}
	group.Wait()
	return handshakeFigures{
		Handshakes: int(done.Load()), PerSecond: float64(done.Load()) / o.seconds, Resumed: int(resumed.Load()),
		Errors: t.errors, FirstError: t.first,
	}, nil
}

func handshakeOnce(o options, configuration *tls.Config) (bool, error) {
	raw, err := net.Dial("tcp", o.address())
	if err != nil {
		return false, err
	}
	conn := tls.Client(raw, configuration)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(grace))
	if err := conn.Handshake(); err != nil {
		return false, err
	}
	if err := conn.CloseWrite(); err != nil {
		return false, err
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("after the handshake: %v", err)
	}
	return conn.ConnectionState().DidResume, nil
}

type idleFigures struct {
	Open   int `json:"open"`
	Errors int `json:"errors"`
}

// holdIdle opens `count` connections, has one request answered on each and holds them. It prints how many there are,
// and once stdin ends, how many there still are.
func holdIdle(o options) (any, error) {
	configuration, err := tlsConfiguration(o)
	if err != nil {
		return nil, err
	}
	var open, left atomic.Int64
	t := &tally{}
	numbers := make(chan struct{}, openers)
	var group sync.WaitGroup
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.path, o.address())
	for range o.count {
		numbers <- struct{}{}
		group.Add(1)
		go func() {
			defer func() { <-numbers; group.Done() }()
			conn, err := tls.Dial("tcp", o.address(), configuration)
			if err != nil {
				t.fail(1, err)
				return
			}
			if err := ask(conn, bufio.NewReader(conn), request); err != nil {
				t.fail(1, err)
				return
			}
			open.Add(1)
			go func() {
				_, _ = conn.Read(make([]byte, 1)) // returns when the server ends it
				left.Add(1)
			}()
		}()
	}
	group.Wait()
	if t.first != "" {
		return nil, fmt.Errorf("%d of %d connections failed: %s", t.errors, o.count, t.first)
	}
	fmt.Printf("{\"open\":%d,\"errors\":0}\n", open.Load())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return idleFigures{Open: int(open.Load() - left.Load())}, nil
}

// Http2 speaks HTTP/2 in plaintext by Go's standard library (golang.org/x/net/http2), as a server and as a client.
//
//	http2 serve                  sends requests back; prints {"event":"ready","port":N}, ends when its standard input does
//	http2 ask -to HOST:PORT      asks a server that does the same, and prints {"event":"asked","title":…,"error":…} for each thing
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What a program that reads line by line takes at a time: each such read is told to the sender.
const smallRead = 4096

// A large answer, in bytes.
const largeSize = 100_000_000

var sizes = []int{0, 1, 16383, 16384, 16385, 65535, 65536, 262145, 1_000_000, 8 << 20}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("http2 serve | http2 ask -to HOST:PORT")
	}
	switch os.Args[1] {
	case "serve":
		serve()
	case "ask":
		flags := flag.NewFlagSet("ask", flag.ExitOnError)
		to := flags.String("to", "", "HOST:PORT")
		flags.Parse(os.Args[2:])
		ask("http://" + *to)
	}
}

func protocols() *http.Protocols {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	return &only
}

func tell(fields map[string]any) { json.NewEncoder(os.Stdout).Encode(fields) }

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	tell(map[string]any{"event": "ready", "port": listener.Addr().(*net.TCPAddr).Port})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := http.Server{Protocols: protocols(), Handler: http.HandlerFunc(handle)}
	log.Fatal(server.Serve(listener))
}

func handle(response http.ResponseWriter, request *http.Request) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	switch kind {
	case "bytes":
		size, _ := strconv.Atoi(rest)
		response.Write(patterned(size))
	case "early":
		response.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(response, "too much")
	case "hold":
		<-request.Context().Done()
		tell(map[string]any{"event": "cancelled"})
	case "informed":
		response.Header().Set("Link", "</a>")
		response.WriteHeader(http.StatusEarlyHints)
		response.WriteHeader(http.StatusNoContent)
	default:
		response.Header().Set("X-Method", request.Method)
		io.Copy(response, request.Body)
		for name, values := range request.Trailer {
			response.Header()[http.TrailerPrefix+name] = values
		}
	}
}

// patterned are the bytes that the test makes, too.
func patterned(size int) []byte {
	all := make([]byte, size)
	for at := range all {
		all[at] = byte(at*31 + at>>8)
	}
	return all
}

func ask(url string) {
	client := &http.Client{Transport: &http.Transport{Protocols: protocols()}}
	things := []struct {
		title string
		do    func() error
	}{
		{"bodies of all sizes", func() error {
			for _, size := range sizes {
				if err := down(client, url, size, 1<<20); err != nil {
					return err
				}
				if err := back(client, url, size); err != nil {
					return err
				}
			}
			return nil
		}},
		{"100 MB, of which each 4 KiB that were read are told", func() error { return down(client, url, largeSize, smallRead) }},
		{"trailers", func() error { return trailers(client, url) }},
		{"200 at once", func() error {
			return atOnce(200, func(index int) error { return back(client, url, index*500) })
		}},
		{"an early answer", func() error { return early(client, url) }},
		{"cancellation", func() error { return cancellation(client, url) }},
		{"and the connection goes on", func() error { return back(client, url, 100_000) }},
	}
	for _, thing := range things {
		var reason any
		if err := thing.do(); err != nil {
			reason = err.Error()
		}
		tell(map[string]any{"event": "asked", "title": thing.title, "error": reason})
	}
}

func down(client *http.Client, url string, size, piece int) error {
	response, err := client.Get(fmt.Sprintf("%s/bytes/%d", url, size))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	buffer := make([]byte, piece)
	at := 0
	for {
		read, err := response.Body.Read(buffer)
		for index, got := range buffer[:read] {
			if wanted := byte((at+index)*31 + (at+index)>>8); got != wanted {
				return fmt.Errorf("byte %d of %d is %d and not %d", at+index, size, got, wanted)
			}
		}
		at += read
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d of %d: %w", at, size, err)
		}
	}
	if at != size {
		return fmt.Errorf("%d of %d bytes", at, size)
	}
	return nil
}

func back(client *http.Client, url string, size int) error {
	sent := patterned(size)
	response, err := client.Post(url+"/back", "text/plain", bytes.NewReader(sent))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%d bytes sent, %d came back", len(sent), len(got))
	}
	return nil
}

func trailers(client *http.Client, url string) error {
	request, err := http.NewRequest("PUT", url+"/back", io.NopCloser(strings.NewReader("body")))
	if err != nil {
		return err
	}
	request.Trailer = http.Header{"X-Sum": {"1"}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(body) != "body" || response.Header.Get("X-Method") != "PUT" || response.Trailer.Get("X-Sum") != "1" {
		return fmt.Errorf("%q with %v and %v", body, response.Header, response.Trailer)
	}
	return nil
}

func atOnce(count int, do func(index int) error) error {
	var group sync.WaitGroup
	failures := make([]error, count)
	for index := range count {
		group.Go(func() { failures[index] = do(index) })
	}
	group.Wait()
	return errors.Join(failures...)
}

func early(client *http.Client, url string) error {
	reader, writer := io.Pipe()
	defer writer.Close()
	go writer.Write(make([]byte, 200_000))
	response, err := client.Post(url+"/early", "text/plain", reader)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "too much" {
		return fmt.Errorf("%d %q", response.StatusCode, body)
	}
	return nil
}

func cancellation(client *http.Client, url string) error {
	deadline, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(deadline, "GET", url+"/hold", nil)
	if err != nil {
		return err
	}
	if _, err = client.Do(request); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not cancelled: %w", err)
	}
	return nil
}

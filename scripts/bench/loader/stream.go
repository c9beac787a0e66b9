package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const chunkBytes = 256 << 10

// streamTimeout bounds one transfer.
const streamTimeout = 120 * time.Second

// serveApp sends `bytes` bytes to a GET of /stream/BYTES and takes any body to POST /upload, answering its length.
func serveApp(o options) (any, error) {
	chunk := make([]byte, chunkBytes)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream/{bytes}", func(w http.ResponseWriter, r *http.Request) {
		left, err := strconv.ParseInt(r.PathValue("bytes"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
		for left > 0 {
			n, err := w.Write(chunk[:min(left, chunkBytes)])
			if err != nil {
				return
			}
			left -= int64(n)
		}
	})
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, chunkBytes)
		total := 0
		for {
			n, err := r.Body.Read(buffer)
			total += n
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return
			}
		}
		fmt.Fprint(w, total)
	})
	return nil, http.ListenAndServe(o.address(), mux)
}

type streamed struct {
	BytesPerSecond float64 `json:"bytesPerSecond"`
}

// stream moves one body of `bytes` bytes down or up, and fails unless all of it arrived.
func stream(o options) (any, error) {
	conn, err := net.Dial("tcp", o.address())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(streamTimeout))
	startedAt := time.Now()
	if o.direction == "up" {
		err = upload(conn, o)
	} else {
		err = download(conn, o)
	}
	return streamed{BytesPerSecond: float64(o.bytes) / time.Since(startedAt).Seconds()}, err
}

func download(conn net.Conn, o options) error {
	if _, err := fmt.Fprintf(conn, "GET /stream/%d HTTP/1.1\r\nHost: %s\r\n\r\n", o.bytes, o.address()); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, chunkBytes), nil)
	if err != nil {
		return err
	}
	buffer := make([]byte, chunkBytes)
	for total := int64(0); ; {
		n, err := response.Body.Read(buffer)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			if response.StatusCode != http.StatusOK || total != o.bytes {
				return fmt.Errorf("status %d, %d bytes of %d", response.StatusCode, total, o.bytes)
			}
			return nil
		} else if err != nil {
			return fmt.Errorf("after %d bytes: %w", total, err)
		}
	}
}

func upload(conn net.Conn, o options) error {
	head := "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
	if _, err := fmt.Fprintf(conn, head, o.address(), o.bytes); err != nil {
		return err
	}
	chunk := make([]byte, chunkBytes)
	for left := o.bytes; left > 0; {
		n, err := conn.Write(chunk[:min(left, chunkBytes)])
		if err != nil {
			return fmt.Errorf("%d bytes left: %w", left, err)
		}
		left -= int64(n)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || string(body) != strconv.FormatInt(o.bytes, 10)) {
		err = fmt.Errorf("status %d, the app saw %.100q of %d bytes", response.StatusCode, body, o.bytes)
	}
	return err
}

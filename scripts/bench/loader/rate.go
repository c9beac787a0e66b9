package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// loadAtRate sends at fixed times, whatever the answers do: each latency counts from the time at which the request was
// due, so that a pause of the proxy is seen by every request that fell into it (no coordinated omission).
func loadAtRate(o options) (any, error) {
	t := &tally{}
	var group sync.WaitGroup
	interval := time.Duration(float64(time.Second) * float64(o.connections) / float64(o.rate))
	start := time.Now().Add(100 * time.Millisecond) // all connections are open by then
	end := start.Add(o.duration())
	for index := range o.connections {
		group.Add(1)
		go func() {
			defer group.Done()
			first := start.Add(interval * time.Duration(index) / time.Duration(o.connections))
			sendOnSchedule(o, t, first, interval, end)
		}()
	}
	group.Wait()
	return t.figures(o.duration()), nil
}

func sendOnSchedule(o options, t *tally, due time.Time, interval time.Duration, end time.Time) {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.path, o.address())
	latencies := make([]time.Duration, 0, int(o.duration()/interval)+1)
	inTime := 0
	defer func() { t.add(latencies, inTime) }()
	var conn net.Conn
	var reader *bufio.Reader
	for ; due.Before(end); due = due.Add(interval) {
		if conn == nil {
			opened, err := net.Dial("tcp", o.address())
			if err != nil {
				t.fail(1, err)
				time.Sleep(time.Until(due))
				continue
			}
			conn, reader = opened, bufio.NewReader(opened)
			defer opened.Close()
		}
		time.Sleep(time.Until(due))
		_ = conn.SetDeadline(time.Now().Add(grace))
		if err := ask(conn, reader, request); err != nil {
			t.fail(1, err)
			_ = conn.Close()
			conn = nil
			continue
		}
		now := time.Now()
		latencies = append(latencies, now.Sub(due))
		if now.Before(end) {
			inTime++
		}
	}
}

// ask sends a request and reads the whole answer; any status but 200 is an error.
func ask(conn net.Conn, reader *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

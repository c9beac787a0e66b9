package main

import (
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// startSlots: start times are kept by stream number modulo this; far more than are ever in flight.
const startSlots = 1 << 14

// grace is how long calls in flight may take after the end of a load.
const grace = 3 * time.Second

// loadGrpc keeps `streams` unary calls in flight over `connections` connections: an answer makes the next call.
func loadGrpc(o options) (any, error) {
	t := &tally{}
	var group sync.WaitGroup
	end := time.Now().Add(o.duration())
	for index := range o.connections {
		streams := o.streams / o.connections
		if index < o.streams%o.connections {
			streams++
		}
		group.Add(1)
		go func() {
			defer group.Done()
			conn, err := net.Dial("tcp", o.address())
			if err != nil {
				t.fail(1, err)
				return
			}
			defer conn.Close()
			c := &grpcCaller{connection: newConnection(conn), wanted: streams, end: end, tally: t, message: grpcMessage(), nextStream: 1}
			c.head.fields = []hpack.HeaderField{
				{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: grpcPath},
				{Name: ":authority", Value: o.address()}, {Name: "content-type", Value: "application/grpc"},
				{Name: "user-agent", Value: "lateral-bench"}, {Name: "te", Value: "trailers"},
			}
			err = c.run()
			t.add(c.latencies, c.inTime)
			if err != nil {
				t.fail(max(c.inFlight, 1), err)
			}
		}()
	}
	group.Wait()
	return t.figures(o.duration()), nil
}

type grpcCaller struct {
	*connection
	head       block
	message    []byte
	wanted     int
	inFlight   int
	nextStream uint32
	startedAt  [startSlots]time.Time
	end        time.Time
	latencies  []time.Duration
	inTime     int
	tally      *tally
}

func (c *grpcCaller) run() error {
	if err := c.SetDeadline(c.end.Add(grace)); err != nil {
		return err
	}
	c.out = append(c.out, preface...)
	c.greet()
	for {
		f, err := c.next()
		if err != nil {
			return fmt.Errorf("%d calls in flight: %w", c.inFlight, err)
		}
		isControl, err := c.control(f)
		if err != nil {
			return err
		}
		if !isControl {
			if err := c.take(f); err != nil {
				return err
			}
		}
		now := time.Now()
		if now.Before(c.end) {
			c.call(now)
		} else if c.inFlight == 0 {
			return nil
		}
	}
}

// call fills up to the wanted number in flight, as far as the peer's limits allow.
func (c *grpcCaller) call(now time.Time) {
	size := int64(len(c.message))
	for c.hasSettings && c.inFlight < min(c.wanted, c.maxStreams) && c.sendWindow >= size && c.initialWindow >= size {
		c.startedAt[c.nextStream/2%startSlots] = now
		c.append(frameHeaders, flagEndHeaders, c.nextStream, c.head.encode(c.connection))
		c.append(frameData, flagEndStream, c.nextStream, c.message)
		c.sendWindow -= size
		c.nextStream += 2
		c.inFlight++
	}
}

// take reads a frame of an answer: one that ends its stream ends the call, well only with grpc-status 0.
func (c *grpcCaller) take(f frame) error {
	status, isTrailers := "", false
	switch {
	case f.kind == frameReset:
		c.inFlight--
		c.tally.fail(1, fmt.Errorf("a call was reset, code %x", f.payload))
		return nil
	case f.kind == frameHeaders:
		httpStatus := ""
		if err := c.headers(f, func(field hpack.HeaderField) {
			switch field.Name {
			case "grpc-status":
				status, isTrailers = field.Value, true
			case ":status":
				httpStatus = field.Value
			}
		}); err != nil {
			return err
		}
		if !isTrailers {
			status = "none, HTTP status " + httpStatus
		}
	}
	if f.flags&flagEndStream == 0 {
		return nil
	}
	c.inFlight--
	if status != "0" {
		c.tally.fail(1, fmt.Errorf("grpc-status %s", status))
		return nil
	}
	now := time.Now()
	c.latencies = append(c.latencies, now.Sub(c.startedAt[f.stream/2%startSlots]))
	if now.Before(c.end) {
		c.inTime++
	}
	return nil
}

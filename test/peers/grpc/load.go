package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// transfer sends messages through an echo and checks what comes back; both ends may begin to read late, so that every
// window between them fills up.
func transfer(arguments []string) {
	c := newClient("transfer")
	total := c.flags.Int64("total", 64<<20, "bytes each way")
	size := c.flags.Int("message", 1<<20, "bytes of a message")
	serverPauseMs := c.flags.Int("server-pause-ms", 0, "the server begins to read after so long")
	clientPauseMs := c.flags.Int("client-pause-ms", 0, "the client begins to read after so long")
	c.flags.Parse(arguments)

	ctx, cancel := c.context(behaviourKey, behaviourEcho, pauseKey, strconv.Itoa(*serverPauseMs))
	defer cancel()
	stream, err := c.service().FullDuplexCall(ctx)
	if err != nil {
		log.Fatal(err)
	}
	count := int(*total / int64(*size))
	begun := time.Now()
	var sent atomic.Int64
	go func() {
		for number := range count {
			message := &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: content(number, *size)}}
			if stream.Send(message) != nil {
				return // the receiver learns why
			}
			sent.Add(int64(*size))
		}
		stream.CloseSend()
	}()

	time.Sleep(time.Duration(*clientPauseMs) * time.Millisecond)
	sentBeforeReading := sent.Load()
	received := 0
	for {
		answer, err := stream.Recv()
		if err != nil {
			told := outcome(ignoreEnd(err))
			told["sentBytes"] = sent.Load()
			told["sentBeforeReadingBytes"] = sentBeforeReading
			told["receivedBytes"] = int64(received) * int64(*size)
			told["elapsedMs"] = time.Since(begun).Milliseconds()
			tell(told)
			return
		}
		if !bytes.Equal(answer.GetPayload().GetBody(), content(received, *size)) {
			log.Fatalf("message %d came back changed", received)
		}
		received++
	}
}

// content is different in each message and at each place of it.
func content(number, size int) []byte {
	body := make([]byte, size)
	word := uint64(number) + 1
	for at := 0; at+8 <= size; at += 8 {
		word ^= word << 13
		word ^= word >> 7
		word ^= word << 17
		binary.LittleEndian.PutUint64(body[at:], word)
	}
	return body
}

// streams opens many streams, each with one exchange; when all are open, each has another, and they end. The server tells
// how many were open at once.
func streams(arguments []string) {
	c := newClient("streams")
	count := c.flags.Int("count", 2000, "streams at once")
	connections := c.flags.Int("connections", 1, "the streams are dealt out to so many connections")
	c.flags.Parse(arguments)

	services := make([]testgrpc.TestServiceClient, *connections)
	for index := range services {
		services[index] = c.service()
	}
	begun := time.Now()
	var allOpen, ended sync.WaitGroup
	allOpen.Add(*count)
	failures := make(chan error, *count)
	var most atomic.Int64
	for number := range *count {
		ended.Go(func() {
			atOnce, err := oneOfMany(c, services[number%*connections], number, &allOpen)
			if err != nil {
				failures <- err
			}
			for seen := most.Load(); atOnce > seen && !most.CompareAndSwap(seen, atOnce); seen = most.Load() {
			}
		})
	}
	ended.Wait()
	told := event{"failed": len(failures), "mostAtOnce": most.Load(), "elapsedMs": time.Since(begun).Milliseconds()}
	if len(failures) > 0 {
		told["firstFailure"] = (<-failures).Error()
	}
	tell(told)
}

// giveUp opens many streams, which the server leaves open, and cancels all at once; a stream beside them must not notice,
// and the connection must go on serving.
func giveUp(arguments []string) {
	c := newClient("give-up")
	count := c.flags.Int("count", 500, "streams that are given up")
	c.flags.Parse(arguments)

	service := c.service()
	ctx, cancel := c.context(behaviourKey, behaviourEcho)
	defer cancel()
	witness, err := service.FullDuplexCall(ctx)
	if err == nil {
		err = exchange(witness, "before")
	}
	if err != nil {
		log.Fatal(err)
	}
	patient, end := c.context(behaviourKey, behaviourHang)
	defer end()
	doomed, cancelAll := context.WithCancel(patient)
	var open, ended sync.WaitGroup
	open.Add(*count)
	var cancelled atomic.Int64
	for range *count {
		ended.Go(func() {
			stream, err := service.FullDuplexCall(doomed)
			if err == nil {
				_, err = stream.Header()
			}
			open.Done()
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) == codes.Canceled {
				cancelled.Add(1)
			}
		})
	}
	open.Wait()
	cancelAll()
	ended.Wait()
	told := outcome(exchange(witness, "after"))
	_, err = service.EmptyCall(ctx, &testpb.Empty{})
	told["cancelled"] = cancelled.Load()
	told["after"] = outcome(err)["code"]
	tell(told)
}

// share reads many streams at once, each of them endless, and tells how much the fastest and the slowest got.
func share(arguments []string) {
	c := newClient("share")
	count := c.flags.Int("count", 64, "streams at once")
	durationMs := c.flags.Int("duration-ms", 2000, "how long they are read")
	c.flags.Parse(arguments)

	service := c.service()
	patient, cancel := c.context(behaviourKey, behaviourPour)
	defer cancel()
	ctx, end := context.WithTimeout(patient, time.Duration(*durationMs)*time.Millisecond)
	defer end()
	amounts := make([]int64, *count)
	var ended sync.WaitGroup
	for index := range amounts {
		ended.Go(func() {
			stream, err := service.FullDuplexCall(ctx)
			for err == nil {
				var answer *testpb.StreamingOutputCallResponse
				answer, err = stream.Recv()
				amounts[index] += int64(len(answer.GetPayload().GetBody()))
			}
		})
	}
	ended.Wait()
	slices.Sort(amounts)
	tell(event{"leastBytes": amounts[0], "mostBytes": amounts[len(amounts)-1], "medianBytes": amounts[len(amounts)/2]})
}

func oneOfMany(c *client, service testgrpc.TestServiceClient, number int, allOpen *sync.WaitGroup) (int64, error) {
	ctx, cancel := c.context(behaviourKey, behaviourEcho)
	defer cancel()
	stream, err := service.FullDuplexCall(ctx)
	if err == nil {
		err = exchange(stream, fmt.Sprintf("first of %d", number))
	}
	allOpen.Done()
	if err != nil {
		return 0, err
	}
	allOpen.Wait()
	if err := exchange(stream, fmt.Sprintf("second of %d", number)); err != nil {
		return 0, err
	}
	stream.CloseSend()
	if _, err := stream.Recv(); ignoreEnd(err) != nil {
		return 0, err
	}
	trailer := stream.Trailer().Get("x-most-streams")
	if len(trailer) != 1 {
		return 0, fmt.Errorf("trailers of stream %d are missing", number)
	}
	return strconv.ParseInt(trailer[0], 10, 64)
}

func exchange(stream testgrpc.TestService_FullDuplexCallClient, text string) error {
	request := &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: []byte(text)}}
	if err := stream.Send(request); err != nil {
		_, err = stream.Recv() // holds the status that Send does not
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if got := string(answer.GetPayload().GetBody()); got != text {
		return fmt.Errorf("sent %q and got %q", text, got)
	}
	return nil
}

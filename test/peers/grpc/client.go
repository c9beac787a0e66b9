package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// callTimeout ends a call that hangs, so that the test can say so.
const callTimeout = 90 * time.Second

// client is what every scenario begins with.
type client struct {
	flags     *flag.FlagSet
	address   *string
	authority *string
	call      *string
}

func newClient(scenario string) *client {
	flags := flag.NewFlagSet(scenario, flag.ExitOnError)
	return &client{
		flags:     flags,
		address:   flags.String("address", "", "HOST:PORT to connect to"),
		authority: flags.String("authority", "", ":authority of the calls; default the address"),
		call:      flags.String("call", "", "the name under which the server tells about the call"),
	}
}

// service connects, after the flags were parsed.
func (c *client) service(options ...grpc.DialOption) testgrpc.TestServiceClient {
	return testgrpc.NewTestServiceClient(connect(*c.address, *c.authority, options...))
}

// context carries what the server shall do.
func (c *client) context(pairs ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	if *c.call != "" {
		pairs = append(pairs, callKey, *c.call)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...), cancel
}

// outcome is a call's end as the client saw it.
func outcome(err error) event {
	answer := status.Convert(err)
	details := []string{}
	for _, detail := range answer.Details() {
		if told, is := detail.(*testpb.EchoStatus); is {
			details = append(details, told.GetMessage())
		}
	}
	return event{"code": answer.Code().String(), "message": answer.Message(), "details": details}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// unary makes one call and tells headers, trailers, status and how the answer was encoded.
func unary(arguments []string) {
	c := newClient("unary")
	code := c.flags.Int("status", 0, "the status that the server shall answer with")
	message := c.flags.String("message", "", "its message")
	requestBytes := c.flags.Int("request", 0, "bytes of request payload")
	responseBytes := c.flags.Int("response", 0, "bytes of response payload")
	compressed := c.flags.Bool("gzip", false, "compress the request, and ask for a compressed answer")
	c.flags.Parse(arguments)

	teller := &answerTeller{}
	service := c.service(grpc.WithStatsHandler(teller))
	var header, trailer metadata.MD
	options := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	ctx, cancel := c.context()
	defer cancel()
	if *compressed {
		options = append(options, grpc.UseCompressor(gzip.Name))
		ctx = metadata.AppendToOutgoingContext(ctx, "x-answer-encoding", gzip.Name)
	}
	request := &testpb.SimpleRequest{
		ResponseSize:   int32(*responseBytes),
		Payload:        interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, *requestBytes),
		ResponseStatus: &testpb.EchoStatus{Code: int32(*code), Message: *message},
	}
	response, err := service.UnaryCall(ctx, request, options...)
	told := outcome(err)
	told["header"] = header
	told["trailer"] = trailer
	told["responseBytes"] = len(response.GetPayload().GetBody())
	told["encoding"] = teller.encoding
	told["wireBytes"] = teller.wireBytes
	tell(told)
}

// answerTeller keeps how one answer came over the wire.
type answerTeller struct {
	compressionTeller
	encoding  string
	wireBytes int
}

func (t *answerTeller) HandleRPC(_ context.Context, seen stats.RPCStats) {
	switch seen := seen.(type) {
	case *stats.InHeader:
		t.encoding = seen.Compression
	case *stats.InPayload:
		t.wireBytes = seen.CompressedLength
	}
}

// deadline gives a server that hangs some milliseconds.
func deadline(arguments []string) {
	c := newClient("deadline")
	timeoutMs := c.flags.Int("timeout-ms", 300, "the call's deadline")
	c.flags.Parse(arguments)

	service := c.service()
	patient, giveUp := c.context(behaviourKey, behaviourHang)
	defer giveUp()
	ctx, cancel := context.WithTimeout(patient, time.Duration(*timeoutMs)*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := service.UnaryCall(ctx, &testpb.SimpleRequest{})
	told := outcome(err)
	told["elapsedMs"] = time.Since(begun).Milliseconds()
	tell(told)
}

// cancellation gives a stream up once the server has answered with headers.
func cancellation(arguments []string) {
	c := newClient("cancel")
	c.flags.Parse(arguments)

	service := c.service()
	// no deadline: the server must learn of the end by the cancellation alone
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(),
		behaviourKey, behaviourHang, callKey, *c.call))
	stream, err := service.FullDuplexCall(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		log.Fatal(err)
	}
	cancel()
	_, err = stream.Recv()
	tell(outcome(err))
	// the channel stays open until the reset is on its way: the end of the connection is another signal
	io.Copy(io.Discard, os.Stdin)
}

// abort reads a stream that the server ends: by a status, or by its own end.
func abort(arguments []string) {
	c := newClient("abort")
	behaviour := c.flags.String("behaviour", behaviourAbort, "abort or die")
	c.flags.Parse(arguments)

	ctx, cancel := c.context(behaviourKey, *behaviour)
	defer cancel()
	stream, err := c.service().FullDuplexCall(ctx)
	if err != nil {
		log.Fatal(err)
	}
	messages := 0
	for err == nil {
		if _, err = stream.Recv(); err == nil {
			messages++
		}
	}
	told := outcome(err)
	told["messages"] = messages
	tell(told)
}

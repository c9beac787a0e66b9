package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// What a call asks of the server, by its metadata.
const (
	behaviourKey = "x-behaviour" // one of the behaviours below; default: as interop's server
	callKey      = "x-call"      // the name under which the server tells about the call
	pauseKey     = "x-pause-ms"  // echo begins to read after so many milliseconds

	behaviourHang  = "hang"  // answers with headers, then waits until the call is given up
	behaviourEcho  = "echo"  // returns each message's payload
	behaviourAbort = "abort" // one message, then ABORTED with a detail
	behaviourDie   = "die"   // one message, then the process ends
	behaviourPour  = "pour"  // message after message until the call is given up

	pourBytes = 32 << 10 // of a message of `pour`

	abortMessage = "the server gave up: 100 % ü"
	longestHang  = 60 * time.Second
	deathDelay   = 200 * time.Millisecond
)

// server is interop's TestService that tells what becomes of its calls.
type server struct {
	testgrpc.TestServiceServer
	open atomic.Int64
	most atomic.Int64
}

func telltaleServer([]string) {
	service := &server{TestServiceServer: interop.NewTestServer()}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.StatsHandler(compressionTeller{}),
		grpc.StreamInterceptor(service.count),
	}
	grpcServer := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(grpcServer, service)
	serve(grpcServer)
}

// count keeps the number of streams that were open at once; `echo` returns it in the trailers.
func (s *server) count(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	now := s.open.Add(1)
	defer s.open.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	return handle(service, stream)
}

func asked(ctx context.Context, key string) string {
	values := metadata.ValueFromIncomingContext(ctx, key)
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (s *server) UnaryCall(ctx context.Context, request *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if asked(ctx, behaviourKey) == behaviourHang {
		return nil, hang(ctx)
	}
	if encoding := asked(ctx, "x-answer-encoding"); encoding == gzip.Name {
		if err := grpc.SetSendCompressor(ctx, gzip.Name); err != nil {
			return nil, err
		}
	}
	return s.TestServiceServer.UnaryCall(ctx, request)
}

func (s *server) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	ctx := stream.Context()
	switch asked(ctx, behaviourKey) {
	case behaviourHang:
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
		return hang(ctx)
	case behaviourEcho:
		return s.echo(stream)
	case behaviourAbort:
		return abortAfterOne(stream)
	case behaviourPour:
		return pour(stream)
	case behaviourDie:
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		time.Sleep(deathDelay)
		os.Exit(1)
	}
	return s.TestServiceServer.FullDuplexCall(stream)
}

// hang waits until the call is given up, and tells how it was.
func hang(ctx context.Context) error {
	deadline, hasDeadline := ctx.Deadline()
	remaining := time.Until(deadline).Milliseconds()
	begun := time.Now()
	tell(event{"event": "began", "call": asked(ctx, callKey)})
	select {
	case <-ctx.Done():
	case <-time.After(longestHang):
	}
	told := event{
		"event":     "ended",
		"call":      asked(ctx, callKey),
		"elapsedMs": time.Since(begun).Milliseconds(),
		"error":     "",
	}
	if hasDeadline {
		told["remainingMs"] = remaining
	}
	if err := ctx.Err(); err != nil {
		told["error"] = err.Error()
	}
	tell(told)
	return status.FromContextError(ctx.Err()).Err()
}

func (s *server) echo(stream testgrpc.TestService_FullDuplexCallServer) error {
	if pauseMs, err := strconv.Atoi(asked(stream.Context(), pauseKey)); err == nil {
		time.Sleep(time.Duration(pauseMs) * time.Millisecond)
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			stream.SetTrailer(metadata.Pairs("x-most-streams", strconv.FormatInt(s.most.Load(), 10)))
			return ignoreEnd(err)
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: request.GetPayload()}); err != nil {
			return err
		}
	}
}

func abortAfterOne(stream testgrpc.TestService_FullDuplexCallServer) error {
	if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	answer, err := status.New(codes.Aborted, abortMessage).WithDetails(&testpb.EchoStatus{Code: 42, Message: "detail"})
	if err != nil {
		log.Fatal(err)
	}
	return answer.Err()
}

func pour(stream testgrpc.TestService_FullDuplexCallServer) error {
	message := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, pourBytes)}}
	for {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}

// compressionTeller tells how the messages of named calls came over the wire.
type compressionTeller struct{}

type nameKey struct{}

func (compressionTeller) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return ctx
}

func (compressionTeller) HandleRPC(ctx context.Context, seen stats.RPCStats) {
	name := asked(ctx, callKey)
	if name == "" {
		return
	}
	switch seen := seen.(type) {
	case *stats.InHeader:
		tell(event{"event": "headers", "call": name, "encoding": seen.Compression})
	case *stats.InPayload:
		tell(event{"event": "message", "call": name, "bytes": seen.Length, "wireBytes": seen.CompressedLength})
	}
}

func (compressionTeller) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (compressionTeller) HandleConn(context.Context, stats.ConnStats) {}

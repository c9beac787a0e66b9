package main

import (
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/http2/hpack"
)

const (
	grpcPath = "/bench.Echo/Unary"
	// grpcMessageBytes: a small message, so that what is measured is the call.
	grpcMessageBytes = 16
)

// grpcMessage: five bytes of prefix (not compressed, length), then the message.
func grpcMessage() []byte {
	prefix := binary.BigEndian.AppendUint32([]byte{0}, grpcMessageBytes)
	return append(prefix, make([]byte, grpcMessageBytes)...)
}

// serveGrpc answers unary calls of one method over h2c until the process is ended; any other method gets UNIMPLEMENTED.
func serveGrpc(o options) (any, error) {
	listener, err := net.Listen("tcp", o.address())
	if err != nil {
		return nil, err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		go func() {
			defer conn.Close()
			s := &grpcServer{connection: newConnection(conn), unknown: map[uint32]bool{}, message: grpcMessage()}
			s.head.fields = []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}
			s.good.fields = []hpack.HeaderField{{Name: "grpc-status", Value: "0"}}
			s.bad.fields = []hpack.HeaderField{{Name: "grpc-status", Value: "12"}}
			_ = s.run() // a connection that ends is no fault of a server
		}()
	}
}

type grpcServer struct {
	*connection
	head, good, bad block
	unknown         map[uint32]bool // streams in flight that asked for another method
	waiting         []uint32        // streams to be answered once the window opens
	message         []byte
}

func (s *grpcServer) run() error {
	if _, err := io.ReadFull(s.reader, make([]byte, len(preface))); err != nil {
		return err
	}
	s.greet()
	for {
		f, err := s.next()
		if err != nil {
			return err
		}
		isControl, err := s.control(f)
		if err != nil {
			return err
		}
		if isControl {
			s.answerWaiting()
			continue
		}
		hasEnded := f.flags&flagEndStream != 0 && f.kind != frameReset
		if f.kind == frameHeaders {
			isKnown := false
			if err := s.headers(f, func(field hpack.HeaderField) {
				isKnown = isKnown || (field.Name == ":path" && field.Value == grpcPath)
			}); err != nil {
				return err
			}
			if !isKnown {
				s.unknown[f.stream] = true
			}
		}
		if hasEnded {
			s.waiting = append(s.waiting, f.stream)
			s.answerWaiting()
		}
	}
}

func (s *grpcServer) answerWaiting() {
	for len(s.waiting) > 0 && s.sendWindow >= int64(len(s.message)) {
		stream := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.append(frameHeaders, flagEndHeaders, stream, s.head.encode(s.connection))
		trailers := &s.good
		if s.unknown[stream] {
			delete(s.unknown, stream)
			trailers = &s.bad
		} else {
			s.append(frameData, 0, stream, s.message)
			s.sendWindow -= int64(len(s.message))
		}
		s.append(frameHeaders, flagEndHeaders|flagEndStream, stream, trailers.encode(s.connection))
	}
}

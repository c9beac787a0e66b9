package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/http2/hpack"
)

// The part of HTTP/2 (RFC 9113) that small unary calls need, for both ends: frames of a burst leave in one write, and
// both windows are kept.

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

	frameData, frameHeaders, frameReset, frameSettings        = 0x0, 0x1, 0x3, 0x4
	framePing, frameGoAway, frameWindowUpdate, frameContinued = 0x6, 0x7, 0x8, 0x9

	flagEndStream, flagAck, flagEndHeaders, flagPadded, flagPriority = 0x1, 0x1, 0x4, 0x8, 0x20

	settingTableSize, settingMaxStreams, settingInitialWindow = 0x1, 0x3, 0x4

	frameHeaderBytes   = 9
	maxFrameBytes      = 16_384
	defaultWindowBytes = 65_535
	// ownWindowBytes is what the peer may have on its way to us, on a stream and on the connection.
	ownWindowBytes = 1 << 20
	// readBufferBytes: a burst of answers in one read.
	readBufferBytes = 64 << 10
)

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte // good until the next frame
}

type connection struct {
	net.Conn
	reader  *bufio.Reader
	out     []byte
	payload [maxFrameBytes]byte

	encoder *hpack.Encoder
	encoded *blockWriter
	decoder *hpack.Decoder

	sendWindow    int64 // of the connection
	initialWindow int64 // of each stream the peer gets
	maxStreams    int
	received      int // DATA since the last credit
	hasSettings   bool
	epoch         int // grows when the compression table was resized: remembered blocks are void
}

type blockWriter struct{ bytes []byte }

func (b *blockWriter) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

func newConnection(conn net.Conn) *connection {
	c := &connection{
		Conn: conn, reader: bufio.NewReaderSize(conn, readBufferBytes), encoded: &blockWriter{},
		sendWindow: defaultWindowBytes, initialWindow: defaultWindowBytes, maxStreams: 1 << 30,
	}
	c.encoder = hpack.NewEncoder(c.encoded)
	c.decoder = hpack.NewDecoder(4_096, nil)
	return c
}

// greet queues our SETTINGS and opens the connection's window as wide as the streams'.
func (c *connection) greet() {
	payload := binary.BigEndian.AppendUint16(nil, settingInitialWindow)
	c.append(frameSettings, 0, 0, binary.BigEndian.AppendUint32(payload, ownWindowBytes))
	c.append(frameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, ownWindowBytes-defaultWindowBytes))
}

func (c *connection) append(kind, flags byte, stream uint32, payload []byte) {
	length := len(payload)
	c.out = append(c.out, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	c.out = binary.BigEndian.AppendUint32(c.out, stream)
	c.out = append(c.out, payload...)
}

func (c *connection) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// next reads a frame; what is queued leaves before it waits.
func (c *connection) next() (frame, error) {
	if c.reader.Buffered() < frameHeaderBytes {
		if err := c.flush(); err != nil {
			return frame{}, err
		}
	}
	head, err := c.reader.Peek(frameHeaderBytes)
	if err != nil {
		return frame{}, err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	f := frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) & 0x7fff_ffff}
	if length > maxFrameBytes {
		return frame{}, fmt.Errorf("frame of %d bytes exceeds %d", length, maxFrameBytes)
	}
	if c.reader.Buffered() < frameHeaderBytes+length {
		if err := c.flush(); err != nil {
			return frame{}, err
		}
	}
	_, _ = c.reader.Discard(frameHeaderBytes) // just peeked at: it is there
	f.payload = c.payload[:length]
	_, err = io.ReadFull(c.reader, f.payload)
	return f, err
}

// control deals with the frames that belong to no request; false: the frame is another.
func (c *connection) control(f frame) (bool, error) {
	switch {
	case f.kind == frameSettings && f.flags&flagAck == 0:
		for rest := f.payload; len(rest) >= 6; rest = rest[6:] {
			c.apply(binary.BigEndian.Uint16(rest), binary.BigEndian.Uint32(rest[2:]))
		}
		c.hasSettings = true
		c.append(frameSettings, flagAck, 0, nil)
	case f.kind == framePing && f.flags&flagAck == 0:
		c.append(framePing, flagAck, 0, f.payload)
	case f.kind == frameWindowUpdate && f.stream == 0 && len(f.payload) == 4:
		c.sendWindow += int64(binary.BigEndian.Uint32(f.payload) & 0x7fff_ffff)
	case f.kind == frameGoAway:
		if len(f.payload) < 8 {
			return true, errors.New("GOAWAY cut short")
		}
		return true, fmt.Errorf("the peer sent GOAWAY, code %d %q", binary.BigEndian.Uint32(f.payload[4:]), f.payload[8:])
	case f.kind == frameData:
		// credit goes back in large parts; small messages never exhaust a stream's own window
		if c.received += len(f.payload); c.received >= ownWindowBytes/2 {
			c.append(frameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(c.received)))
			c.received = 0
		}
		return false, nil
	case f.kind == frameHeaders, f.kind == frameReset:
		return false, nil
	}
	return true, nil
}

func (c *connection) apply(setting uint16, value uint32) {
	switch setting {
	case settingTableSize:
		c.encoder.SetMaxDynamicTableSizeLimit(value)
		c.epoch++
	case settingMaxStreams:
		c.maxStreams = int(min(value, 1<<30))
	case settingInitialWindow:
		c.initialWindow = int64(value)
	}
}

// headers decodes the block that a HEADERS frame begins, with its CONTINUATION frames.
func (c *connection) headers(f frame, emit func(hpack.HeaderField)) error {
	block := f.payload
	if f.flags&flagPadded != 0 && len(block) > 0 {
		padding := int(block[0])
		if block = block[1:]; padding > len(block) {
			return errors.New("more padding than frame")
		}
		block = block[:len(block)-padding]
	}
	if f.flags&flagPriority != 0 && len(block) >= 5 {
		block = block[5:]
	}
	c.decoder.SetEmitFunc(emit)
	if _, err := c.decoder.Write(block); err != nil {
		return err
	}
	for f.flags&flagEndHeaders == 0 {
		var err error
		if f, err = c.next(); err != nil {
			return err
		}
		if f.kind != frameContinued {
			return fmt.Errorf("frame of type %d within a header block", f.kind)
		}
		if _, err = c.decoder.Write(f.payload); err != nil {
			return err
		}
	}
	return c.decoder.Close()
}

// block is a header block that repeats: from the second time on every field is in the peer's table or a literal, and
// the same bytes serve again.
type block struct {
	fields []hpack.HeaderField
	bytes  []byte
	times  int
	epoch  int
}

func (b *block) encode(c *connection) []byte {
	if b.epoch != c.epoch {
		b.epoch, b.times = c.epoch, 0
	}
	if b.times < 2 {
		c.encoded.bytes = c.encoded.bytes[:0]
		for _, field := range b.fields {
			_ = c.encoder.WriteField(field) // writes to memory: cannot fail
		}
		b.bytes = append(b.bytes[:0], c.encoded.bytes...)
		b.times++
	}
	return b.bytes
}

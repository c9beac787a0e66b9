// Hpack is golang.org/x/net's HPACK coder behind standard input and output: one JSON command a line in, one JSON answer
// a line out, in order. Names and values are base64. The encoder lives as long as the program, a decoder until a new one is
// asked for.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log"
	"os"

	"golang.org/x/net/http2/hpack"
)

const (
	defaultTableBytes = 4096
	maxLineBytes      = 64 << 20
)

type field struct {
	Name  []byte `json:"name"`
	Value []byte `json:"value"`
	Never bool   `json:"never"`
}

// A command does what it names, in the order of these fields.
type command struct {
	// A new decoder, as after an error.
	Fresh bool `json:"fresh"`
	// The table size that the decoder allows from now on.
	AllowTableBytes *uint32 `json:"allowTableBytes"`
	// The peer's table size for the encoder from now on.
	PeerTableBytes *uint32 `json:"peerTableBytes"`
	// A block to decode.
	Decode []byte `json:"decode"`
	// Fields to encode as one block.
	Encode []field `json:"encode"`
}

type answer struct {
	Fields []field `json:"fields"`
	Block  []byte  `json:"block"`
	Error  string  `json:"error"`
}

func main() {
	decoder := hpack.NewDecoder(defaultTableBytes, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	output := bufio.NewWriter(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLineBytes)
	answers := json.NewEncoder(output)
	for lines.Scan() {
		var asked command
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		var given answer
		if asked.Fresh {
			decoder = hpack.NewDecoder(defaultTableBytes, nil)
		}
		if asked.AllowTableBytes != nil {
			decoder.SetAllowedMaxDynamicTableSize(*asked.AllowTableBytes)
		}
		if asked.PeerTableBytes != nil {
			encoder.SetMaxDynamicTableSizeLimit(*asked.PeerTableBytes)
			encoder.SetMaxDynamicTableSize(*asked.PeerTableBytes)
		}
		if asked.Decode != nil {
			fields, err := decoder.DecodeFull(asked.Decode)
			if err != nil {
				given.Error = err.Error()
			}
			for _, found := range fields {
				given.Fields = append(given.Fields, field{[]byte(found.Name), []byte(found.Value), found.Sensitive})
			}
		}
		if asked.Encode != nil {
			block.Reset()
			for _, one := range asked.Encode {
				sent := hpack.HeaderField{Name: string(one.Name), Value: string(one.Value), Sensitive: one.Never}
				if err := encoder.WriteField(sent); err != nil {
					log.Fatal(err)
				}
			}
			given.Block = block.Bytes()
		}
		if err := answers.Encode(given); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := output.Flush(); err != nil {
		log.Fatal(err)
	}
}

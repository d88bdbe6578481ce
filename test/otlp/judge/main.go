// The judge of pdata.test.ts: how the Collector's pdata reads an OTLP request.
//
// Reads frames of a signal (one byte: t, m or l), a length (four bytes, big-endian) and a request in protobuf. Answers each with
// a frame of one byte, a length and a text: 1 and the request as pdata writes it again, or 0 and the error.
package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

type request interface {
	UnmarshalProto([]byte) error
	MarshalProto() ([]byte, error)
}

func read(signal byte, body []byte) ([]byte, error) {
	var r request
	switch signal {
	case 't':
		r = ptraceotlp.NewExportRequest()
	case 'm':
		r = pmetricotlp.NewExportRequest()
	default:
		r = plogotlp.NewExportRequest()
	}
	if err := r.UnmarshalProto(body); err != nil {
		return nil, err
	}
	return r.MarshalProto()
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for head := make([]byte, 5); ; {
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(in, body); err != nil {
			panic(err)
		}
		answer, err := read(head[0], body)
		verdict := byte(1)
		if err != nil {
			verdict, answer = 0, []byte(err.Error())
		}
		frame := binary.BigEndian.AppendUint32([]byte{verdict}, uint32(len(answer)))
		out.Write(frame)
		out.Write(answer)
	}
}

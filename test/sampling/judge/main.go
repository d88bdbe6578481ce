// The judge of sampling: the Collector's own probabilistic sampler (processor/probabilisticsampler), fed from a pipe. It reads
// ExportTraceServiceRequests, each after its length in four bytes, passes them through the processor, and writes what is left
// in the same form. Each request is a batch of its own, so an empty one means that nothing is left.
//
//	sampler MODE PERCENTAGE [open|closed]
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/probabilisticsamplerprocessor"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/processor/processortest"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3] == "closed"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(mode, percentage string, failClosed bool) error {
	ctx := context.Background()
	factory := probabilisticsamplerprocessor.NewFactory()
	config := factory.CreateDefaultConfig().(*probabilisticsamplerprocessor.Config)
	percent, err := strconv.ParseFloat(percentage, 32)
	if err != nil {
		return err
	}
	config.SamplingPercentage = float32(percent)
	if err := config.Mode.UnmarshalText([]byte(mode)); err != nil {
		return err
	}
	config.FailClosed = failClosed
	sink := new(consumertest.TracesSink)
	sampler, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), config, sink)
	if err != nil {
		return err
	}
	if err := sampler.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		body, err := read(in)
		if err == io.EOF {
			return sampler.Shutdown(ctx)
		}
		if err != nil {
			return err
		}
		request := ptraceotlp.NewExportRequest()
		if err := request.UnmarshalProto(body); err != nil {
			return err
		}
		sink.Reset()
		if err := sampler.ConsumeTraces(ctx, request.Traces()); err != nil {
			return err
		}
		var left []byte
		for _, each := range sink.AllTraces() {
			bytes, err := ptraceotlp.NewExportRequestFromTraces(each).MarshalProto()
			if err != nil {
				return err
			}
			left = append(left, bytes...)
		}
		if err := binary.Write(out, binary.BigEndian, uint32(len(left))); err != nil {
			return err
		}
		if _, err := out.Write(left); err != nil {
			return err
		}
	}
}

func read(in io.Reader) ([]byte, error) {
	var length uint32
	if err := binary.Read(in, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	body := make([]byte, length)
	_, err := io.ReadFull(in, body)
	return body, err
}

// grpc-go's calls in the ways that applications make them, without an SDK in between. Prints the number of calls by their code.
//
//	calls HOST:PORT FOLDER SCENARIO
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// Messages are bytes already.
type raw struct{}

func (raw) Name() string                      { return "proto" }
func (raw) Marshal(v any) ([]byte, error)     { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

var (
	folder string
	lock   sync.Mutex
	codes  = map[uint32]int{}
)

func body(name string) []byte {
	bytes, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		panic(err)
	}
	return bytes
}

func call(ctx context.Context, connection *grpc.ClientConn, message []byte, options ...grpc.CallOption) {
	var answer []byte
	options = append(options, grpc.ForceCodec(raw{}))
	err := connection.Invoke(ctx, export, message, &answer, options...)
	lock.Lock()
	codes[uint32(status.Code(err))]++
	lock.Unlock()
}

func atOnce(times, workers int, each func()) {
	var wait sync.WaitGroup
	turns := make(chan struct{}, times)
	for range times {
		turns <- struct{}{}
	}
	close(turns)
	for range workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range turns {
				each()
			}
		}()
	}
	wait.Wait()
}

func main() {
	folder = os.Args[2]
	scenario := os.Args[3]
	safety := insecure.NewCredentials()
	if scenario == "tls" {
		safety = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(safety))
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	one, four := body("one"), body("four")
	switch scenario {
	case "many":
		atOnce(2000, 300, func() { call(ctx, connection, one) })
	case "sizes":
		call(ctx, connection, body("mib"))
		call(ctx, connection, four)
		call(ctx, connection, four, grpc.UseCompressor(gzip.Name))
		call(ctx, connection, body("over"))
	case "deadline":
		atOnce(20, 5, func() {
			short, end := context.WithTimeout(ctx, 2*time.Millisecond)
			defer end()
			call(short, connection, four)
		})
		call(ctx, connection, one)
	case "cancel":
		atOnce(60, 10, func() {
			cut, end := context.WithCancel(ctx)
			time.AfterFunc(time.Duration(rand.Intn(10))*time.Millisecond, end)
			call(cut, connection, four)
		})
		call(ctx, connection, one)
	case "metadata":
		for _, size := range []int{8000, 20000} {
			call(metadata.AppendToOutgoingContext(ctx, "x-large", strings.Repeat("a", size)), connection, one)
		}
		call(ctx, connection, one)
	case "going":
		end := time.Now().Add(4 * time.Second)
		atOnce(8, 8, func() {
			for time.Now().Before(end) {
				call(ctx, connection, one)
				time.Sleep(time.Millisecond)
			}
		})
	case "tls":
		call(ctx, connection, one)
	default:
		panic(scenario)
	}
	_ = json.NewEncoder(os.Stdout).Encode(codes)
}

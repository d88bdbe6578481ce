// An application that is given faults, in Go. See node.mjs for what it does.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

var (
	dependency = os.Getenv("DEPENDENCY")
	folder     = os.Getenv("FOLDER")
	rounds     = 100000.0
	sink       uint64
	lock       sync.Mutex
)

func compute(ms float64) {
	sum := uint64(1)
	for i := uint64(0); i < uint64(ms*rounds); i++ {
		sum = sum*31 + i
	}
	sink = sum
}

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Sec)*1e3 + float64(usage.Utime.Usec)/1e3
}

func fault(name string) {
	switch name {
	case "own_cpu":
		compute(60)
	case "lock":
		lock.Lock()
		go func() {
			time.Sleep(60 * time.Millisecond)
			lock.Unlock()
		}()
		lock.Lock()
		lock.Unlock()
	case "disk":
		file, err := os.OpenFile(folder+"/go.data", os.O_CREATE|os.O_RDWR|syscall.O_DSYNC, 0o600)
		if err != nil {
			panic(err)
		}
		block := make([]byte, 1<<20)
		for end := time.Now().Add(80 * time.Millisecond); time.Now().Before(end); {
			file.WriteAt(block, 0)
		}
		file.Close()
	}
}

func main() {
	for i := 0; i < 5; i++ {
		before := cpu()
		compute(20)
		if used := cpu() - before; used > 0 {
			rounds = rounds * 20 / used
		}
	}
	http.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("fault")
		start := time.Now().UnixNano()
		compute(8)
		fault(name)
		before := time.Now().UnixNano()
		ms := 2
		if name == "dependency" {
			ms = 80
		}
		if answer, err := http.Get(fmt.Sprintf("%s?ms=%d", dependency, ms)); err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		after := time.Now().UnixNano()
		fmt.Fprintf(w, `{"start":"%d","dep":["%d","%d"],"end":"%d"}`, start, before, after, time.Now().UnixNano())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, nil)
}

// An application with client_golang, as it is set up in practice: a native histogram beside classic buckets, exemplars, and
// names in UTF-8. Prints its address.
package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shop_requests_total", Help: "Requests \"served\".\nAll of them."}, []string{"method", "path"})
	native := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "shop_wait_seconds", Help: "Waits.", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1,
	}, []string{"path"})
	only := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "shop_native_seconds", Help: "Native only.", NativeHistogramBucketFactor: 1.2})
	sizes := prometheus.NewSummary(prometheus.SummaryOpts{Name: "shop_size_bytes", Help: "Sizes.", Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001}})
	dotted := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shop.queue.depth", Help: "In UTF-8."}, []string{"queue.name"})
	hits := prometheus.NewCounter(prometheus.CounterOpts{Name: "shop_hits", Help: "A counter without _total."})
	registry.MustRegister(requests, native, only, sizes, dotted, hits)

	for i := 0; i < 1000; i++ {
		seconds := float64(i*i%997) / 250
		requests.WithLabelValues("GET", "/a\\b\"\n").(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"trace_id": "0af7651916cd43dd8448eb211c80319c"})
		native.WithLabelValues("/").(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": fmt.Sprint(i)})
		only.Observe(seconds - 1)
		sizes.Observe(float64(i))
	}
	dotted.WithLabelValues("mail").Set(3)
	hits.Inc()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	fmt.Printf("http://%s\n", listener.Addr())
	panic(http.Serve(listener, nil))
}

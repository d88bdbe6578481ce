// The judge of judges.test.ts: what Prometheus' own parser finds in each page that it is given, as its scrape loop reads it.
//
// Reads lines of JSON {"type": content type, "body": base64}, and writes one line of JSON for each: {"error": text}, or
// {"samples": [[series, value]], "histograms": [[series, buckets]], "exemplars": n, "starts": n}. A series that comes twice,
// which would be dropped in storage, and a histogram that does not validate are errors here.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

type page struct {
	Type string `json:"type"`
	Body []byte `json:"body"`
}

type verdict struct {
	Error      string      `json:"error,omitempty"`
	Samples    [][2]string `json:"samples"`
	Histograms [][2]string `json:"histograms"`
	Exemplars  int         `json:"exemplars"`
	Starts     int         `json:"starts"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<28)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var p page
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		v, err := judge(p)
		if err != nil {
			v = verdict{Error: err.Error()}
		}
		if err := out.Encode(v); err != nil {
			os.Exit(1)
		}
	}
}

func judge(p page) (v verdict, err error) {
	parser, err := textparse.New(p.Body, p.Type, labels.NewSymbolTable(), textparse.ParserOptions{
		KeepClassicOnClassicAndNativeHistograms: true,
	})
	if err != nil {
		return v, err
	}
	seen := map[string]bool{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return v, nil
		}
		if err != nil {
			return v, err
		}
		if entry != textparse.EntrySeries && entry != textparse.EntryHistogram {
			continue
		}
		var ls labels.Labels
		parser.Labels(&ls)
		if name, twice := ls.HasDuplicateLabelNames(); twice {
			return v, fmt.Errorf("label %q twice", name)
		}
		key := ls.String()
		if entry == textparse.EntryHistogram {
			key = "native " + key
		}
		if seen[key] {
			return v, fmt.Errorf("series twice: %s", key)
		}
		seen[key] = true
		if entry == textparse.EntrySeries {
			_, _, value := parser.Series()
			v.Samples = append(v.Samples, [2]string{ls.String(), strconv.FormatFloat(value, 'g', -1, 64)})
		} else {
			_, _, h, fh := parser.Histogram()
			if h != nil {
				if err := h.Validate(); err != nil {
					return v, err
				}
				v.Histograms = append(v.Histograms, [2]string{ls.String(), h.String()})
			} else {
				if err := fh.Validate(); err != nil {
					return v, err
				}
				v.Histograms = append(v.Histograms, [2]string{ls.String(), fh.String()})
			}
		}
		var e exemplar.Exemplar
		for parser.Exemplar(&e) {
			v.Exemplars++
		}
		// Asked for it, the parser of OpenMetrics takes the _created lines away.
		if strings.HasPrefix(p.Type, "application/vnd.google.protobuf") && parser.StartTimestamp() != 0 {
			v.Starts++
		}
	}
}

// A client that speaks to a Tempo as Grafana's data source does: it sends the same requests, reads the answers into Tempo's
// own messages as strictly, and reaches into a trace as carelessly. What it cannot read is an error; what is missing is a
// panic. Reads tasks as lines of JSON and answers each with a line.
//
//	grafana http://127.0.0.1:19464/tempo
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"

	"github.com/gogo/protobuf/jsonpb"
	"github.com/gogo/protobuf/proto"
	"github.com/grafana/tempo/pkg/tempopb"
)

type task struct {
	Kind  string // echo, trace, search, tags, values, range, instant
	ID    string
	Query string
	Tag   string
	Start int64 // seconds
	End   int64
}

type result struct {
	Error string   `json:",omitempty"`
	Rows  []string `json:",omitempty"`
}

func main() {
	base, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var t task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			panic(err)
		}
		answer, err := json.Marshal(done(base, t))
		if err != nil {
			panic(err)
		}
		fmt.Println(string(answer))
	}
}

// A panic of the data source would be an error 500 for the user.
func done(base *url.URL, t task) (answer result) {
	defer func() {
		if r := recover(); r != nil {
			answer = result{Error: fmt.Sprintf("panic: %v", r)}
		}
	}()
	rows, err := do(base, t)
	if err != nil {
		return result{Error: err.Error()}
	}
	return result{Rows: rows}
}

func do(base *url.URL, t task) ([]string, error) {
	between := url.Values{"start": {fmt.Sprint(t.Start)}, "end": {fmt.Sprint(t.End)}}
	switch t.Kind {
	case "echo":
		_, err := get(base, "api/echo", nil, "")
		return nil, err
	case "trace":
		return trace(base, t.ID)
	case "search":
		between.Set("q", t.Query)
		between.Set("limit", "20")
		between.Set("spss", "3")
		return search(base, between)
	case "tags":
		return tags(base)
	case "values":
		return values(base, t.Tag, t.Query)
	case "range":
		between.Set("q", t.Query)
		between.Set("step", "60s")
		between.Set("exemplars", "100")
		return metrics(base, between)
	case "instant":
		between.Set("q", t.Query)
		return instant(base, between)
	}
	return nil, fmt.Errorf("unknown kind %q", t.Kind)
}

// The path of the data source is kept: every path is joined.
func get(base *url.URL, to string, query url.Values, accept string) ([]byte, error) {
	at := *base
	at.Path = path.Join(at.Path, to)
	at.RawQuery = query.Encode()
	request, err := http.NewRequest(http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("Status: %s Body: %s", response.Status, body)
	}
	return body, nil
}

func trace(base *url.URL, id string) ([]string, error) {
	body, err := get(base, "api/v2/traces/"+id, nil, "application/protobuf")
	if err != nil {
		// Once more as an older Tempo would be asked; its error is the one that is shown.
		old, err := get(base, "api/traces/"+id, nil, "application/protobuf")
		if err != nil {
			return nil, err
		}
		var bare tempopb.Trace
		if err := proto.Unmarshal(old, &bare); err != nil {
			return nil, err
		}
		return spans(&bare), nil
	}
	var whole tempopb.TraceByIDResponse
	if err := proto.Unmarshal(body, &whole); err != nil {
		return nil, err
	}
	return spans(whole.Trace), nil
}

// Nothing is checked for nil, as in the data source; a resource without attributes is passed over.
func spans(trace *tempopb.Trace) []string {
	var rows []string
	for _, group := range trace.ResourceSpans {
		if len(group.Resource.Attributes) == 0 {
			continue
		}
		service := ""
		for _, attribute := range group.Resource.Attributes {
			if attribute.Key == "service.name" {
				service = attribute.Value.GetStringValue()
			}
		}
		for _, scope := range group.ScopeSpans {
			for _, span := range scope.Spans {
				rows = append(rows, fmt.Sprintf("%s %s %s<%s %s %s %s %d %q", service, hex.EncodeToString(span.TraceId),
					hex.EncodeToString(span.SpanId), hex.EncodeToString(span.ParentSpanId), span.Name, span.Kind,
					span.Status.Code, span.EndTimeUnixNano-span.StartTimeUnixNano, scope.Scope.Name))
			}
		}
	}
	return rows
}

func read(body []byte, into proto.Message) error {
	// Strict: a field that it does not know is an error.
	return (&jsonpb.Unmarshaler{}).Unmarshal(bytes.NewReader(body), into)
}

func search(base *url.URL, query url.Values) ([]string, error) {
	body, err := get(base, "api/search", query, "application/json")
	if err != nil {
		return nil, err
	}
	var found tempopb.SearchResponse
	if err := read(body, &found); err != nil {
		return nil, err
	}
	var rows []string
	for _, trace := range found.Traces {
		for _, set := range trace.SpanSets {
			for _, span := range set.Spans {
				rows = append(rows, fmt.Sprintf("%s %s %s %s %d %d %d", trace.TraceID, trace.RootServiceName,
					span.SpanID, span.Name, span.DurationNanos, len(span.Attributes), set.Matched))
			}
		}
	}
	return rows, nil
}

func tags(base *url.URL) ([]string, error) {
	body, err := get(base, "api/v2/search/tags", url.Values{"limit": {"5000"}}, "")
	if err != nil {
		return nil, err
	}
	var found tempopb.SearchTagsV2Response
	if err := read(body, &found); err != nil {
		return nil, err
	}
	var rows []string
	for _, scope := range found.Scopes {
		for _, tag := range scope.Tags {
			rows = append(rows, scope.Name+" "+tag)
		}
	}
	return rows, nil
}

func values(base *url.URL, tag, query string) ([]string, error) {
	// In the path and once more as a parameter, which is escaped twice.
	parameters := url.Values{"limit": {"5000"}, "tag": {url.QueryEscape(tag)}}
	if query != "" {
		parameters.Set("q", query)
	}
	body, err := get(base, "api/v2/search/tag/"+tag+"/values", parameters, "")
	if err != nil {
		return nil, err
	}
	var found tempopb.SearchTagValuesV2Response
	if err := read(body, &found); err != nil {
		return nil, err
	}
	var rows []string
	for _, value := range found.TagValues {
		rows = append(rows, value.Type+" "+value.Value)
	}
	return rows, nil
}

func metrics(base *url.URL, query url.Values) ([]string, error) {
	body, err := get(base, "api/metrics/query_range", query, "application/json")
	if err != nil {
		return nil, err
	}
	var found tempopb.QueryRangeResponse
	// The range may have fields that are not known.
	if err := (&jsonpb.Unmarshaler{AllowUnknownFields: true}).Unmarshal(bytes.NewReader(body), &found); err != nil {
		return nil, err
	}
	var rows []string
	for _, series := range found.Series {
		sum := 0.0
		for _, sample := range series.Samples {
			if sample.TimestampMs <= 0 {
				return nil, fmt.Errorf("a sample without a time")
			}
			sum += sample.Value
		}
		traces := 0
		for _, exemplar := range series.Exemplars {
			for _, label := range exemplar.Labels {
				if label.Key == "trace:id" && exemplar.Value != 0 && exemplar.TimestampMs > 0 {
					traces++
				}
			}
		}
		labels := ""
		for _, label := range series.Labels {
			labels += fmt.Sprintf("%s=%v ", label.Key, label.Value.GetValue())
		}
		rows = append(rows, fmt.Sprintf("%s%.3f %t", labels, sum, traces > 0))
	}
	return rows, nil
}

func instant(base *url.URL, query url.Values) ([]string, error) {
	body, err := get(base, "api/metrics/query", query, "application/json")
	if err != nil {
		return nil, err
	}
	var found tempopb.QueryInstantResponse
	if err := read(body, &found); err != nil {
		return nil, err
	}
	var rows []string
	for _, series := range found.Series {
		for _, label := range series.Labels {
			rows = append(rows, fmt.Sprintf("%s=%s %.3f", label.Key, label.Value.GetStringValue(), series.Value))
		}
	}
	return rows, nil
}

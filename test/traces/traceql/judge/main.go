// Judges queries with Tempo's own parser. Reads one JSON string a line; writes one JSON object a line: "parse" or
// "validate" with the error, or "text", the query as Tempo prints it.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/grafana/tempo/pkg/traceql"
)

type verdict struct {
	Parse    string `json:"parse,omitempty"`
	Validate string `json:"validate,omitempty"`
	Text     string `json:"text,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	answers := json.NewEncoder(out)
	for in.Scan() {
		var query string
		if err := json.Unmarshal(in.Bytes(), &query); err != nil {
			panic(err)
		}
		answers.Encode(judge(query))
	}
}

func judge(query string) (answer verdict) {
	parsed, err := traceql.Parse(query)
	if err != nil {
		return verdict{Parse: err.Error()}
	}
	answer.Text = parsed.String()
	if _, _, _, _, _, err := traceql.Compile(query); err != nil {
		answer.Validate = err.Error()
	}
	return answer
}

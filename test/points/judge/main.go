// The judge of names.test.ts: what github.com/prometheus/otlptranslator makes of each name that it is given.
//
// Reads lines of KIND, NAME and UNIT, separated by tabs; the kind is gauge, counter, updown, histogram, summary or label.
// Writes the translated name of each, or an empty line where there is none.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	translator "github.com/prometheus/otlptranslator"
)

var kinds = map[string]translator.MetricType{
	"gauge":     translator.MetricTypeGauge,
	"counter":   translator.MetricTypeMonotonicCounter,
	"updown":    translator.MetricTypeNonMonotonicCounter,
	"histogram": translator.MetricTypeHistogram,
	"summary":   translator.MetricTypeSummary,
}

func main() {
	// As Prometheus' own OTLP receiver sets them by default.
	metrics := translator.NewMetricNamer("", translator.UnderscoreEscapingWithSuffixes)
	labels := translator.LabelNamer{UnderscoreLabelSanitization: true}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		part := strings.SplitN(lines.Text()+"\t\t", "\t", 4)
		kind, name, unit := part[0], part[1], part[2]
		var translated string
		var err error
		if kind == "label" {
			translated, err = labels.Build(name)
		} else if metricType, known := kinds[kind]; known {
			translated, err = metrics.Build(translator.Metric{Name: name, Unit: unit, Type: metricType})
		} else {
			fmt.Fprintf(os.Stderr, "no such kind: %q\n", kind)
			os.Exit(1)
		}
		if err != nil {
			translated = ""
		}
		fmt.Println(translated)
	}
}

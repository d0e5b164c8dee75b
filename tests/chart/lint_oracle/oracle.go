// Answers what the rollouts controller itself would say of a condition: one JSON request a line, one JSON answer a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
)

type request struct {
	Success string   `json:"success"`
	Failure string   `json:"failure"`
	Kind    string   `json:"kind"`
	Values  []string `json:"values"`
}

func number(text string) float64 {
	if text == "NaN" {
		return math.NaN()
	}
	var value float64
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		panic(err)
	}
	return value
}

func main() {
	logrus.SetOutput(os.Stderr)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		values := make([]float64, 0, len(asked.Values))
		for _, each := range asked.Values {
			values = append(values, number(each))
		}
		var result any = values
		if asked.Kind == "nil" {
			var nothing *float64
			result = nothing
		}
		if asked.Kind == "float" {
			result = values[0]
		}
		metric := v1alpha1.Metric{SuccessCondition: asked.Success, FailureCondition: asked.Failure}
		phase, err := evaluate.EvaluateResult(result, metric, *logrus.NewEntry(logrus.StandardLogger()))
		answer := map[string]string{"phase": string(phase)}
		if err != nil {
			answer["error"] = err.Error()
		}
		told, _ := json.Marshal(answer)
		fmt.Println(string(told))
	}
}

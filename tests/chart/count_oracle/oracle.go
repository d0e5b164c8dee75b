// Counts measurements as the rollouts controller's own code does: one JSON metric with its outcomes a line, one phase a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	_ "unsafe" // for linkname

	"github.com/sirupsen/logrus"

	_ "github.com/argoproj/argo-rollouts/analysis"
	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	analysisutil "github.com/argoproj/argo-rollouts/utils/analysis"
)

//go:linkname assessMetricStatus github.com/argoproj/argo-rollouts/analysis.assessMetricStatus
func assessMetricStatus(metric v1alpha1.Metric, result v1alpha1.MetricResult, terminating bool) v1alpha1.AnalysisPhase

type request struct {
	Metric   v1alpha1.Metric          `json:"metric"`
	Outcomes []v1alpha1.AnalysisPhase `json:"outcomes"`
}

// phase is what the metric ends with, and after how many measurements. The bookkeeping is that of its runMeasurements.
func phase(asked request) (string, int) {
	if err := analysisutil.ValidateMetric(asked.Metric); err != nil {
		return "Invalid", 0
	}
	var result v1alpha1.MetricResult
	for number, outcome := range asked.Outcomes {
		result.Measurements = append(result.Measurements, v1alpha1.Measurement{Phase: outcome})
		result.Count++
		result.ConsecutiveError = 0
		switch outcome {
		case v1alpha1.AnalysisPhaseSuccessful:
			result.Successful++
			result.ConsecutiveSuccess++
		case v1alpha1.AnalysisPhaseFailed:
			result.Failed++
			result.ConsecutiveSuccess = 0
		case v1alpha1.AnalysisPhaseInconclusive:
			result.Inconclusive++
			result.ConsecutiveSuccess = 0
		case v1alpha1.AnalysisPhaseError:
			result.Error++
			result.Count--
			result.ConsecutiveError = 1
			result.ConsecutiveSuccess = 0
		}
		if found := assessMetricStatus(asked.Metric, result, false); found.Completed() {
			return string(found), number + 1
		}
	}
	return string(assessMetricStatus(asked.Metric, result, false)), len(asked.Outcomes)
}

func main() {
	logrus.SetLevel(logrus.PanicLevel)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		found, number := phase(asked)
		fmt.Println(found, number)
	}
}

{{/*
Recording and alerting rules, as a Prometheus rule file: the share of the app's requests that broke a promise over several windows,
and alerts on how fast that uses a budget up.

A burn rate of 1 uses the budget up exactly in its period. An alert wants it over a long window, so that it is worth a call, and over
a short one, so that it ends soon after its cause (Google's SRE workbook, chapter 5: 14.4 and 6 for a call, 3 and 1 for a ticket,
over a period of 30 days).
*/}}
{{- define "webapp.rules.windows" -}}
["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
{{- end -}}

{{- define "webapp.rules.burns" -}}
[
  {"long": "1h", "short": "5m", "rate": 14.4, "severity": "page", "for": "2m"},
  {"long": "6h", "short": "30m", "rate": 6, "severity": "page", "for": "15m"},
  {"long": "1d", "short": "2h", "rate": 3, "severity": "ticket", "for": "1h"},
  {"long": "3d", "short": "6h", "rate": 1, "severity": "ticket", "for": "3h"}
]
{{- end -}}

{{- define "webapp.rules" -}}
{{- $root := . -}}
{{- if not (and (gt (float64 .Values.slo.successRate) 0.0) (lt (float64 .Values.slo.successRate) 1.0)) -}}
{{- fail (printf "rules need a promise that can be kept and missed, or there is no budget to burn: slo.successRate is %g; choose one between 0 and 1" (float64 .Values.slo.successRate)) -}}
{{- end -}}
{{- $token := (include "webapp.dashboards.tokens" . | fromJson).texts -}}
{{- $scope := printf "namespace=%q,app=%q" .Release.Namespace (include "webapp.name" .) -}}
{{- $by := "sum by (namespace, app)" -}}
{{- $fullname := include "webapp.fullname" . -}}
{{- $limit := int .Values.slo.p95Ms -}}
groups:
  - name: {{ $fullname }}-shares
    interval: 30s
    rules:
      {{- range $window := include "webapp.rules.windows" . | fromJsonArray }}
      - record: app:requests:rate{{ $window }}
        expr: {{ $by }} (rate({{ $token.requests }}{{ "{" }}{{ $scope }}{{ "}" }}[{{ $window }}]))
      - record: app:request_errors:ratio_rate{{ $window }}
        expr: |-
          (
            {{ $by }} (rate({{ $token.requests }}{{ "{" }}{{ $scope }},{{ $token.code }}=~{{ quote $token.errorCodes }}{{ "}" }}[{{ $window }}]))
            or 0 * {{ $by }} (rate({{ $token.requests }}{{ "{" }}{{ $scope }}{{ "}" }}[{{ $window }}]))
          ) / {{ $by }} (rate({{ $token.requests }}{{ "{" }}{{ $scope }}{{ "}" }}[{{ $window }}]))
      - record: app:request_slow:ratio_rate{{ $window }}
        expr: |-
          1 - {{ $by }} (rate({{ $token.duration }}_bucket{{ "{" }}{{ $scope }},{{ $token.le }}{{ "}" }}[{{ $window }}]))
            / {{ $by }} (rate({{ $token.duration }}_count{{ "{" }}{{ $scope }}{{ "}" }}[{{ $window }}]))
      {{- end }}
  {{- if .Values.rules.alerts }}
  - name: {{ $fullname }}-burn
    rules:
      {{- range $burn := include "webapp.rules.burns" . | fromJsonArray }}
      {{- range $slo := list
        (dict "alert" "ErrorBudgetBurn" "name" "errors" "series" "app:request_errors" "budget" (include "webapp.budget" $root) "what" "are server errors")
        (dict "alert" "LatencyBudgetBurn" "name" "latency" "series" "app:request_slow" "budget" "0.05" "what" (printf "take longer than %d ms" $limit)) }}
      {{- $most := round (mulf $burn.rate (float64 $slo.budget)) 9 }}
      {{- if lt $most 1.0 }}
      - alert: {{ $slo.alert }}
        expr: |-
          {{ $slo.series }}:ratio_rate{{ $burn.long }}{{ "{" }}{{ $scope }}{{ "}" }} > {{ printf "%g" $most }}
            and {{ $slo.series }}:ratio_rate{{ $burn.short }}{{ "{" }}{{ $scope }}{{ "}" }} > {{ printf "%g" $most }}
        for: {{ get $burn "for" }}
        labels:
          severity: {{ $burn.severity }}
          slo: {{ $slo.name }}
          window: {{ $burn.long }}
        annotations:
          summary: {{ printf "{{ $labels.app }} in {{ $labels.namespace }}: {{ $value | humanizePercentage }} of the requests of %s %s" $burn.long $slo.what | quote }}
          description: {{ printf "At this pace the budget of %g %% burns at least %g times too fast; the last %s say so too." (round (mulf 100.0 (float64 $slo.budget)) 7) (float64 $burn.rate) $burn.short | quote }}
      {{- end }}
      {{- end }}
      {{- end }}
  - name: {{ $fullname }}-releases
    rules:
      {{- $rollouts := printf "%s=%q" .Values.dashboards.rolloutsNamespaceLabel .Release.Namespace }}
      - alert: ReleaseRolledBack
        expr: max by (name, {{ .Values.dashboards.rolloutsNamespaceLabel }}) (rollout_info{{ "{" }}{{ $rollouts }},name={{ quote $fullname }},phase="Abort"{{ "}" }}) == 1
        labels:
          severity: ticket
        annotations:
          summary: {{ printf "the release of {{ $labels.name }} in %s was aborted; Git and the chart still name it" .Release.Namespace | quote }}
      - alert: GateCannotMeasure
        # An AnalysisRun is kept long after it ended: what counts is that it was not there a quarter of an hour ago.
        expr: |-
          {{- $runs := printf "analysis_run_info{%s,name=~\"%s-.*\",phase=~\"Error|Inconclusive\"}" $rollouts $fullname }}
          {{ $runs }} unless {{ $runs }} offset 15m
        labels:
          severity: ticket
        annotations:
          summary: {{ printf "{{ $labels.name }} in %s ended as {{ $labels.phase }}: the release was not judged, whatever became of it" .Release.Namespace | quote }}
  {{- end }}
{{- end -}}

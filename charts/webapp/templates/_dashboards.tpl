{{/*
What the dashboards' JSON leaves to the values. A file says @name@; "@name@", with its quotes, is a number where the name is one of
.numbers. So thresholds and queries follow the promises and names that the gate itself has.
*/}}

{{/* JSON {"texts": {…}, "numbers": {…}}. */}}
{{- define "webapp.dashboards.tokens" -}}
{{- $app := .Values.analysis.app -}}
{{- $limit := int .Values.slo.p95Ms -}}
{{- $seconds := divf $limit 1000.0 -}}
{{- $milliseconds := eq $app.unit "milliseconds" -}}
{{- /* A gate that counts elsewhere does not ask the app for this bucket; then its dashboards show what there is. */ -}}
{{- $le := include "webapp.gate.bucket" (dict "Values" (mergeOverwrite (deepCopy .Values) (dict "analysis" (dict "source" "app") "slo" (dict "latencyBucketsMs" (append .Values.slo.latencyBucketsMs $limit))))) -}}
{{- $envoy := .Values.analysis.envoy -}}
{{- dict
  "texts" (dict
    "requests" (default (printf "%s_count" $app.durationMetric) $app.requestsMetric) "duration" $app.durationMetric
    "code" $app.codeLabel "errorCodes" $app.errorCodes "hash" .Values.analysis.prometheus.hashLabel "le" $le
    "unit" (ternary "ms" "s" $milliseconds) "cluster" $envoy.clusterLabel "envoyCode" $envoy.codeLabel "envoyErrors" $envoy.errorCodes
    "rolloutsNamespace" .Values.dashboards.rolloutsNamespaceLabel)
  "numbers" (dict
    "success" (printf "%g" (float64 .Values.slo.successRate)) "errors" (printf "%g" (float64 .Values.slo.errorRate))
    "budget" (include "webapp.budget" .) "limitMs" (toString $limit)
    "limit" (ternary (toString $limit) (printf "%g" $seconds) $milliseconds))
  | toJson -}}
{{- end -}}

{{/* The share of errors that the promise allows. A promise that nothing can keep (1, or 1.01) allows next to nothing. */}}
{{- define "webapp.budget" -}}
{{- printf "%g" (maxf 1e-9 (round (subf 1.0 (float64 .Values.slo.successRate)) 9)) -}}
{{- end -}}

{{/* The dashboard .text for the values of .root. */}}
{{- define "webapp.dashboard" -}}
{{- $text := .text -}}
{{- $tokens := include "webapp.dashboards.tokens" .root | fromJson -}}
{{- range $name, $value := $tokens.numbers -}}
{{- $text = $text | replace (printf "\"@%s@\"" $name) $value | replace (printf "@%s@" $name) $value -}}
{{- end -}}
{{- range $name, $value := $tokens.texts -}}
{{- $text = $text | replace (printf "@%s@" $name) ($value | toRawJson | trimPrefix "\"" | trimSuffix "\"") -}}
{{- end -}}
{{- $text -}}
{{- end -}}

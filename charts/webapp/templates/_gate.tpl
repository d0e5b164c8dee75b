{{/*
The gate's queries. Each source says where requests are counted, how the canary's are told from others, and by which label a server
error is known; what is asked of them is the same.

analysis.source app: the app's own counters, by the pod-template hash. It cannot see what the app never answers.

analysis.source envoy: the gateway's counters for the cluster that the canary's subset is. It sees hangs, resets and crashes too: for
want of an answer Envoy makes one (503, 504) and charges it to the cluster. The scope is the subset's name, not the hash: who is the
canary is the DestinationRule's to say, and that a former canary is left out is the window's doing.

analysis.source istio: the counters of the canary pods' own sidecars (reporter "destination"), which Prometheus scrapes from the pods
and so labels with their hash. The gateway's view of the same requests (reporter "source") names no hash, and by version or revision
two releases of one image tag would look alike.
*/}}

{{/* JSON: what the source counts. */}}
{{- define "webapp.gate.source" -}}
{{- $analysis := .Values.analysis -}}
{{- $pods := printf "namespace=\"{{args.namespace}}\",%s=\"{{args.canary-hash}}\"" $analysis.prometheus.hashLabel -}}
{{- if eq $analysis.source "app" -}}
{{- $app := $analysis.app -}}
{{- $count := printf "%s_count" $app.durationMetric -}}
{{- dict
  "scope" $pods "requests" (default $count $app.requestsMetric) "answered" $count "bucket" (printf "%s_bucket" $app.durationMetric)
  "code" $app.codeLabel "errors" $app.errorCodes "increase" "extrapolated" | toJson -}}
{{- else if eq $analysis.source "envoy" -}}
{{- $envoy := $analysis.envoy -}}
{{- $to := include "webapp.destination" (dict "root" . "side" "canary") | fromYaml -}}
{{- $cluster := printf "outbound|%d|%s|%s.{{args.namespace}}.svc.%s" (int .Values.service.port) (dig "subset" "" $to) $to.host $envoy.clusterDomain -}}
{{- $scope := printf "%s=%q" $envoy.clusterLabel $cluster -}}
{{- range $label, $value := $envoy.matchLabels -}}
  {{- $scope = printf "%s,%s=%q" $scope $label $value -}}
{{- end -}}
{{- dict
  "scope" $scope "requests" "envoy_cluster_upstream_rq" "answered" "envoy_cluster_upstream_rq_time_count"
  "bucket" "envoy_cluster_upstream_rq_time_bucket" "code" $envoy.codeLabel "errors" $envoy.errorCodes "increase" "counted" | toJson -}}
{{- else -}}
{{- dict
  "scope" (printf "reporter=\"destination\",%s" $pods) "requests" "istio_requests_total"
  "answered" "istio_request_duration_milliseconds_count" "bucket" "istio_request_duration_milliseconds_bucket"
  "code" "response_code" "errors" $analysis.istio.errorCodes "increase" "counted" | toJson -}}
{{- end -}}
{{- end -}}

{{/*
The matcher of the bucket that holds exactly what is within slo.p95Ms; fails where the source's histogram has none.

A histogram knows exact shares at its bounds only; anything between them would be interpolated, which is a guess. The app's bounds
are its limits. Envoy keeps two digits of a time and puts under a bound whatever begins at or below it: le="300" holds all under
310 ms, and le="299" all under 300 ms. So there the bound is the limit less one, and a limit must have two digits.
*/}}
{{- define "webapp.gate.bucket" -}}
{{- $source := .Values.analysis.source -}}
{{- $limit := int .Values.slo.p95Ms -}}
{{- $bound := $limit -}}
{{- $bounds := .Values.slo.latencyBucketsMs -}}
{{- if ne $source "app" -}}
  {{- $bounds = (get .Values.analysis $source).latencyBucketsMs -}}
  {{- $bound = int (sub $limit 1) -}}
  {{- $tens := 1 -}}
  {{- range until 5 -}}{{- if ge (div $limit $tens) 100 -}}{{- $tens = int (mul $tens 10) -}}{{- end -}}{{- end -}}
  {{- if ne (mod $limit $tens) 0 -}}
    {{- fail (printf "slo.p95Ms (%d) has more than two digits before its zeros, and Envoy's histograms keep two: with analysis.source %s choose %d or %d" $limit $source (mul (div $limit $tens) $tens) (mul (add1 (div $limit $tens)) $tens)) -}}
  {{- end -}}
{{- end -}}
{{- $known := false -}}
{{- $told := list -}}
{{- range $bounds -}}
  {{- $told = append $told (int . | toString) -}}
  {{- if eq (int .) $bound -}}{{- $known = true -}}{{- end -}}
{{- end -}}
{{- if and (not $known) (eq $source "app") -}}
{{- fail (printf "slo.p95Ms (%d) is none of the app's histogram bounds, slo.latencyBucketsMs (%s): choose one of them, or give the app that bucket and list it" $limit (join ", " $told)) -}}
{{- else if not $known -}}
{{- fail (printf "slo.p95Ms (%d) needs the bound %d, and analysis.%s.latencyBucketsMs (%s) has none: choose another limit, or %s" $limit $bound $source (join ", " $told) (ternary "give the gateway's proxies that bucket (annotation sidecar.istio.io/statsHistogramBuckets on their pods) and list it" "list it: the chart gives it to the pods' sidecars" (eq $source "envoy"))) -}}
{{- end -}}
{{- if ne $source "app" -}}
{{- /* Envoy writes 299, Prometheus 3 stores 299.0, Prometheus 2 stored what was written. */ -}}
{{- printf "le=~\"%d([.]0)?\"" $bound -}}
{{- else if eq .Values.analysis.app.unit "milliseconds" -}}
{{- printf "le=~\"%d([.]0)?\"" $bound -}}
{{- else -}}
{{- /* As Prometheus stores the label: the shortest decimal number, and an integer with ".0". */ -}}
{{- $le := printf "%g" (divf $bound 1000.0) -}}
{{- if not (contains "." $le) -}}{{- $le = printf "%s.0" $le -}}{{- end -}}
{{- printf "le=%q" $le -}}
{{- end -}}
{{- end -}}

{{/*
By how much the series .series of .metric grew within .window seconds.

extrapolated: increase(), for counters that an app creates at zero when it starts.

counted: for counters that a proxy creates with the first request that they count. increase() never sees that first value, and an
error that stays the only one would be lost with it. So: the last value, less the one at the window's start; all of it where there
was none (a new counter, or one that went away with its cluster and came back) or a higher one (a proxy that began anew). Where the
scrape at the window's start failed, which makes every counter look gone, the last one before it counts.
*/}}
{{- define "webapp.gate.increase" -}}
{{- $series := printf "%s{%s}" .metric .series -}}
{{- if eq .kind "extrapolated" -}}
{{- printf "sum(increase(%s[%ds]))" $series .window -}}
{{- else -}}
{{- $now := printf "last_over_time(%s[%ds])" $series .window -}}
{{- $missed := printf "last_over_time(%s[5m] offset %ds) and on (job, instance) (up offset %ds == 0)" $series .window .window -}}
{{- printf "sum((%s - (%s offset %ds or %s) >= 0) or %s)" $now $series .window $missed $now -}}
{{- end -}}
{{- end -}}

{{/* JSON list: name, query and condition of each metric over .window seconds of .root's source. */}}
{{- define "webapp.gate.metrics" -}}
{{- $values := .root.Values -}}
{{- $source := include "webapp.gate.source" .root | fromJson -}}
{{- $of := dict "kind" $source.increase "window" .window -}}
{{- /* Envoy counts each answer by its code and once more by the class of codes. */ -}}
{{- $code := ternary (printf ",%s!=\"\"" $source.code) "" (eq $values.analysis.source "envoy") -}}
{{- $requests := merge (dict "metric" $source.requests) $of -}}
{{- $all := include "webapp.gate.increase" (merge (dict "series" (print $source.scope $code)) $requests) -}}
{{- $errors := include "webapp.gate.increase" (merge (dict "series" (printf "%s,%s=~%q" $source.scope $source.code $source.errors)) $requests) -}}
{{- $good := include "webapp.gate.increase" (merge (dict "series" (printf "%s%s,%s!~%q" $source.scope $code $source.code $source.errors)) $requests) -}}
{{- $answered := include "webapp.gate.increase" (merge (dict "metric" $source.answered "series" $source.scope) $of) -}}
{{- $fast := include "webapp.gate.increase" (merge (dict "metric" $source.bucket "series" (printf "%s,%s" $source.scope (include "webapp.gate.bucket" .root))) $of) -}}
{{- $guard := "len(result) > 0 && !isNaN(result[0]) && result[0]" -}}
{{- list
  (dict "name" "requests" "query" (printf "round(%s)" $all)
        "condition" (printf "%s >= %d" $guard (int $values.analysis.minRequests)))
  (dict "name" "success-rate" "query" (printf "round((%s or vector(0)) / %s, 1e-8)" $good $all)
        "condition" (printf "%s >= %g" $guard (float64 $values.slo.successRate)))
  (dict "name" "error-rate" "query" (printf "round((%s or vector(0)) / %s, 1e-8)" $errors $all)
        "condition" (printf "%s < %g" $guard (float64 $values.slo.errorRate)))
  (dict "name" "latency-p95" "query" (printf "round(%s / %s, 1e-8)" $fast $answered)
        "condition" (printf "%s >= 0.95" $guard))
  | toJson -}}
{{- end -}}

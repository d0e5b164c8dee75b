{{/* JSON list: the seconds of every window that some step has, each once, analysis.windowSeconds first. */}}
{{- define "webapp.windows" -}}
{{- $windows := list (int .Values.analysis.windowSeconds) -}}
{{- range .Values.rollout.steps -}}
  {{- if kindIs "map" . -}}
    {{- with .windowSeconds -}}{{- $windows = append $windows (int .) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $windows | uniq | toJson -}}
{{- end -}}

{{/* The AnalysisTemplate of the window .seconds. */}}
{{- define "webapp.gate.name" -}}
{{- $suffix := ternary "" (printf "-%ds" (int .seconds)) (eq (int .seconds) (int .root.Values.analysis.windowSeconds)) -}}
{{- printf "%s-slo%s" (include "webapp.fullname" .root) $suffix -}}
{{- end -}}

{{/* The names of the routes that the controller makes and removes, as a JSON list. */}}
{{- define "webapp.managedRoutes" -}}
{{- $routes := .Values.rollout.managedRoutes -}}
{{- if .Values.testers.enabled -}}{{- $routes = prepend $routes "testers" | uniq -}}{{- end -}}
{{- toJson $routes -}}
{{- end -}}

{{/* The steps of a release. */}}
{{- define "webapp.steps" -}}
{{- $root := . -}}
{{- $weighted := false -}}
{{- range .Values.rollout.steps }}
{{- $step := . -}}
{{- if not (kindIs "map" .) -}}{{- $step = dict "weight" . -}}{{- end -}}
{{- if hasKey $step "argo" }}
- {{ toYaml $step.argo | nindent 2 | trim }}
{{- else }}
- setWeight: {{ int $step.weight }}
{{- if and $root.Values.testers.enabled (not $weighted) }}
# Not before the first weight: while no pod of the canary is ready, the controller takes the route away again.
- setHeaderRoute:
    name: testers
    match:
      - headerName: {{ $root.Values.testers.header }}
        headerValue:
          exact: {{ $root.Values.testers.value | quote }}
{{- end }}
{{- $weighted = true }}
{{- with $step.pauseSeconds }}
- pause:
    duration: {{ int . }}s
{{- end }}
{{- if dig "analysis" true $step }}
- analysis:
    templates:
      - templateName: {{ include "webapp.gate.name" (dict "root" $root "seconds" (default $root.Values.analysis.windowSeconds $step.windowSeconds)) }}
    args:
      - name: canary-hash
        valueFrom:
          podTemplateHashValue: Latest
    # Ten are kept by default, and a failed query takes one as well; a report needs them all.
    measurementRetention:
      {{- range list "requests" "success-rate" "error-rate" "latency-p95" }}
      - metricName: {{ . }}
        limit: {{ int $root.Values.analysis.measurementRetention }}
      {{- end }}
    {{- with $root.Values.analysis.dryRun }}
    dryRun:
      {{- range . }}
      - metricName: {{ . }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

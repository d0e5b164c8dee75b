{{/* The chart's own annotations of the pods; they win over the user's. */}}
{{- define "webapp.podAnnotations" -}}
{{- if .Values.metrics.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ include "webapp.metricsPort" . | quote }}
prometheus.io/path: {{ .Values.metrics.path }}
{{- end }}
{{- if eq .Values.analysis.source "istio" }}
# The sidecar's histogram then has the bound that the gate asks for.
sidecar.istio.io/statsHistogramBuckets: {{ dict "istiocustom" .Values.analysis.istio.latencyBucketsMs | toJson | quote }}
{{- end }}
{{- end -}}

{{- define "webapp.metricsPort" -}}
{{- int (default .Values.network.port .Values.metrics.port) -}}
{{- end -}}

{{/* The name of the container's metrics port: its own only where it is another one than the app's. */}}
{{- define "webapp.metricsPortName" -}}
{{- ternary "http" "metrics" (eq (include "webapp.metricsPort" .) (int .Values.network.port | toString)) -}}
{{- end -}}

{{- define "webapp.env" -}}
{{- if .Values.network.portVariable }}
- name: {{ .Values.network.portVariable }}
  value: {{ int .Values.network.port | quote }}
{{- end }}
{{- if .Values.network.podVariables }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- if .Values.network.bindPodIP }}
- name: BIND_ADDRESS
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One probe: .probe, whose port 0 is named http. */}}
{{- define "webapp.probe" -}}
{{- $probe := .probe -}}
{{- $port := ternary "http" (int $probe.port) (eq (int $probe.port) 0) -}}
{{- if eq $probe.type "http" }}
httpGet:
  path: {{ $probe.path }}
  port: {{ $port }}
{{- else if eq $probe.type "tcp" }}
tcpSocket:
  port: {{ $port }}
{{- else if eq $probe.type "grpc" }}
grpc:
  # By number: a grpc probe knows no names.
  port: {{ int (default .root.Values.network.port $probe.port) }}
  {{- with $probe.service }}
  service: {{ . | quote }}
  {{- end }}
{{- else }}
exec:
  command:
    {{- toYaml $probe.command | nindent 4 }}
{{- end }}
periodSeconds: {{ int $probe.periodSeconds }}
timeoutSeconds: {{ int $probe.timeoutSeconds }}
failureThreshold: {{ int $probe.failureThreshold }}
{{- end -}}

{{/* The name in the labels. */}}
{{- define "webapp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of every object. 52 characters: the controllers append a revision and a pod's suffix to it. */}}
{{- define "webapp.fullname" -}}
{{- $name := include "webapp.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Nothing: the pods name none, and run as the namespace's default. */}}
{{- define "webapp.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "webapp.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods. A Rollout's selector can never be changed, so nothing here may depend on a version. */}}
{{- define "webapp.selectorLabels" -}}
app.kubernetes.io/name: {{ include "webapp.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of objects that are no pods. */}}
{{- define "webapp.labels" -}}
{{ include "webapp.selectorLabels" . }}
app.kubernetes.io/version: {{ include "webapp.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end -}}

{{- define "webapp.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{/* A label's value: at most 63 characters, alphanumeric at both ends. */}}
{{- define "webapp.version" -}}
{{- .Values.version | default (include "webapp.tag" .) | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{/* repository:tag@digest. A digest alone, without a tag of the user's, names no version it may not have. */}}
{{- define "webapp.image" -}}
{{- $image := .Values.image -}}
{{- if and $image.digest (not $image.tag) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else if $image.digest -}}
{{- printf "%s:%s@%s" $image.repository $image.tag $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (include "webapp.tag" .) -}}
{{- end -}}
{{- end -}}

{{/* Non-root, nothing to gain and, unless the user wants it, nothing to write: for each container. */}}
{{- define "webapp.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .Values.securityContext.readOnlyRootFilesystem }}
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "webapp.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.securityContext.runAsUser }}
runAsGroup: {{ int .Values.securityContext.runAsGroup }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The Gateway by which users come in. */}}
{{- define "webapp.gatewayName" -}}
{{- if .Values.gateway.create -}}
{{- include "webapp.fullname" . -}}
{{- else -}}
{{- required "gateway.existing must name a Gateway when gateway.create is false" .Values.gateway.existing -}}
{{- end -}}
{{- end -}}

{{/* The labels of the pod of `helm test`. They differ from the app's, or the Service would send it users. */}}
{{- define "webapp.testLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "webapp.name" .) | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

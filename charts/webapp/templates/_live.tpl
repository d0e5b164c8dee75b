{{/*
What the rollouts controller has written into objects of this chart, read back from the cluster.

The controller writes its weights into the VirtualService and the pod-template hashes into the DestinationRule's subsets (or into
the two Services' selectors); at a step that sends testers to the canary, it puts a route of its own before the chart's. All of these lie in atomic fields: with server-side apply, Helm 4's way, whoever changes one part
owns the whole field. An upgrade in the middle of a release that says 100/0 would therefore either be refused as a conflict or,
when forced, take the canary's traffic away at once and let the analysis measure nothing; leaving the fields out is no way either,
since Helm owned them once and the API would then remove them. So the templates say again what is there: nothing changes, nothing
conflicts. An upgrade that also changes another part of such a field (virtualService.timeout, for example) needs --force-conflicts,
and keeps the live weights all the same.

Without a cluster (helm template, and Argo CD, which uses it) there is nothing to look up: the answer is the state at rest, and
Argo CD must be told to ignore these fields (ignoreDifferences with RespectIgnoreDifferences=true).
*/}}

{{/* JSON {"stable": 100, "canary": 0}. Used only when they add up to 100: anything else is not the controller's, or another split's. */}}
{{- define "webapp.live.weights" -}}
{{- $root := . -}}
{{- $rest := dict "stable" 100 "canary" 0 -}}
{{- $seen := dict -}}
{{- $fullname := include "webapp.fullname" . -}}
{{- $live := lookup "networking.istio.io/v1" "VirtualService" .Release.Namespace $fullname -}}
{{- range $http := dig "spec" "http" list (default dict $live) -}}
  {{- if eq (dig "name" "" $http) "primary" -}}
    {{- range $route := dig "route" list $http -}}
      {{- range $side := list "stable" "canary" -}}
        {{- $want := include "webapp.destination" (dict "root" $root "side" $side) | fromYaml -}}
        {{- $is := dig "destination" dict $route -}}
        {{- if and (eq (dig "host" "" $is) $want.host) (eq (dig "subset" "" $is) (dig "subset" "" $want)) -}}
          {{- $_ := set $seen $side (int (dig "weight" 0 $route)) -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and (hasKey $seen "stable") (hasKey $seen "canary") (eq (add (dig "stable" 0 $seen) (dig "canary" 0 $seen)) 100) -}}
{{- toJson $seen -}}
{{- else -}}
{{- toJson $rest -}}
{{- end -}}
{{- end -}}

{{/* The hash that the live subset .side selects, or nothing. */}}
{{- define "webapp.live.subsetHash" -}}
{{- $side := .side -}}
{{- $live := lookup "networking.istio.io/v1" "DestinationRule" .root.Release.Namespace (include "webapp.fullname" .root) -}}
{{- range $subset := dig "spec" "subsets" list (default dict $live) -}}
  {{- if eq (dig "name" "" $subset) $side -}}
    {{- dig "labels" "rollouts-pod-template-hash" "" $subset -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The hash that the live Service .name selects, or nothing. */}}
{{- define "webapp.live.serviceHash" -}}
{{- $live := lookup "v1" "Service" .root.Release.Namespace .name -}}
{{- dig "spec" "selector" "rollouts-pod-template-hash" "" (default dict $live) -}}
{{- end -}}

{{/* Where the traffic of .side goes. */}}
{{- define "webapp.destination" -}}
{{- $fullname := include "webapp.fullname" .root -}}
{{- if eq .root.Values.rollout.trafficSplit "subsets" -}}
host: {{ $fullname }}
subset: {{ .side }}
{{- else -}}
host: {{ printf "%s-%s" $fullname .side }}
{{- end -}}
{{- end -}}

{{/*
The routes of the controller's own that are there now, as they are, as a JSON list. It sets them at their step and never again: an
upgrade that dropped one would send the testers of a running release back to the stable version.
*/}}
{{- define "webapp.live.managedRoutes" -}}
{{- $names := include "webapp.managedRoutes" . | fromJsonArray -}}
{{- $found := list -}}
{{- $live := lookup "networking.istio.io/v1" "VirtualService" .Release.Namespace (include "webapp.fullname" .) -}}
{{- range $http := dig "spec" "http" list (default dict $live) -}}
  {{- if has (dig "name" "" $http) $names -}}{{- $found = append $found $http -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/*
The Rollout's number of pods. With a HorizontalPodAutoscaler it is the autoscaler's: what is there is said again, since leaving out a
field that Helm once owned would have the API remove it, and a Rollout without it falls to one pod. Where nothing is there, nothing.
*/}}
{{- define "webapp.live.replicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{- $live := lookup "argoproj.io/v1alpha1" "Rollout" .Release.Namespace (include "webapp.fullname" .) -}}
{{- with dig "spec" "replicas" 0 (default dict $live) -}}{{- int . -}}{{- end -}}
{{- else -}}
{{- int .Values.rollout.replicas -}}
{{- end -}}
{{- end -}}

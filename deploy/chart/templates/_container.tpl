{{/* The container of a role, without its name. */}}
{{- define "vedette.container" -}}
{{- $root := .root -}}
{{- $own := .own -}}
{{- $gpu := $own.gpu.enabled -}}
{{- $port := ternary "http" "metrics" (eq .role "server") -}}
image: {{ include "vedette.image" (dict "root" $root "suffix" (ternary $own.gpu.tagSuffix "" $gpu)) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: [{{ get (dict "scorer" "run" "shadow" "shadow" "server" "serve") .role }}, -c, /etc/vedette/vedette.yaml]
securityContext:
  {{- toYaml (default dict $root.Values.securityContext) | nindent 2 }}
ports:
  - {name: {{ $port }}, containerPort: {{ get $root.Values.ports $port }}}
env:
  {{- include "vedette.secretEnv" (dict "root" $root) | trim | nindent 2 }}
  {{- with $own.extraEnvs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $own.extraEnvsFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "vedette.probes" (dict "root" $root "own" $own "port" $port) }}
{{- with $own.lifecycleHooks }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- $resources := deepCopy (default dict $own.resources) }}
  {{- if $gpu }}
  {{- /* A GPU can only be limited, and is asked for by that. */}}
  {{- $_ := set $resources "limits" (merge (dict $own.gpu.resourceName (int $own.gpu.count)) (default dict $resources.limits)) }}
  {{- end }}
  {{- toYaml $resources | nindent 2 }}
volumeMounts:
  {{- include "vedette.mounts" $root | nindent 2 }}
  {{- if $gpu }}
  - {name: shm, mountPath: /dev/shm}
  {{- end }}
  {{- with $own.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/*
Alive is a loop that makes progress, ready is who can work. Neither start nor liveness asks Kafka or
the database: a broker that is away would restart every pod, and load every model again.
*/}}
{{- define "vedette.probes" -}}
{{- $tls := and (eq .port "http") (dig "server" "cert_file" "" .root.Values.config) }}
{{- $own := .own }}
{{- $port := .port }}
{{- range $kind, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
{{ $kind }}:
  httpGet: {path: {{ $path }}, port: {{ $port }}{{ if $tls }}, scheme: HTTPS{{ end }}}
  {{- toYaml (get $own $kind) | nindent 2 }}
{{- end }}
{{- end }}

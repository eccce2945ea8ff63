{{/* The configuration, with what the chart decides: where is listened, and who makes tables. */}}
{{- define "vedette.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := dict "host" "0.0.0.0" "port" (int .Values.ports.http) -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $_ := unset (get $config "server" | default dict) "port" -}}
{{- $server = dict "port" (int .Values.ports.http) -}}
{{- else -}}
{{- $exporter := dict "host" "0.0.0.0" "port" (int .Values.ports.metrics) -}}
{{- $_ := set $config "exporter" (merge $exporter (default dict $config.exporter)) -}}
{{- if .Values.migration.enabled -}}
{{- /* Not by merge: it takes what is false for what is absent. */}}
{{- $_ := set $config "store" (set (default dict $config.store) "migrate" false) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "server" (merge $server (default dict $config.server)) -}}
{{- toYaml $config -}}
{{- end }}

{{- define "vedette.configMap" -}}
data:
  vedette.yaml: |
    {{- include "vedette.config" . | nindent 4 }}
{{- end }}

{{/* Whether the Job of the tables and that of the topics are hooks. */}}
{{- define "vedette.hook" -}}
{{- if and .Values.migration.hook (not .Values.externalSecret.enabled) }}true{{ end -}}
{{- end }}

{{/* Variables of the configuration out of the Secret; `url` is another key for the store's URL. */}}
{{- define "vedette.secretEnv" -}}
{{- $root := .root -}}
{{- range $name, $key := $root.Values.secret.env }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.secret.name }}
      key: {{ ternary $.url $key (and (eq $name "VEDETTE_STORE__URL") (ne (default "" $.url) "")) }}
{{- end }}
{{- end }}

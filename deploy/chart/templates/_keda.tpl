{{/* The topics that a role reads, a line each: answers of candidates are an input of the scorer. */}}
{{- define "vedette.topics" -}}
{{- $config := .root.Values.config -}}
{{- $shadow := default dict $config.shadow -}}
{{- if eq .role "shadow" -}}
{{- default "vedette-shadow-requests" $shadow.requests -}}
{{- else -}}
{{- $topics := dig "kafka" "topics" (dict "llm-calls" dict) $config | keys -}}
{{- if $shadow -}}
{{- $topics = append $topics (default "vedette-shadow-answers" $shadow.answers) -}}
{{- end -}}
{{- $topics | uniq | sortAlpha | join "\n" -}}
{{- end -}}
{{- end }}

{{- define "vedette.scaledObject" -}}
{{- $root := .root }}
{{- $keda := .keda }}
{{- $kafka := default dict $root.Values.config.kafka }}
{{- $security := default dict $kafka.security }}
{{- $protocol := default "PLAINTEXT" $security.protocol }}
{{- $group := default "vedette" $kafka.group }}
{{- $start := default "earliest" $kafka.start }}
{{- if eq .role "shadow" }}
{{- $group = default "vedette-shadow" (default dict $root.Values.config.shadow).group }}
{{- $start = "earliest" }}
{{- end }}
{{- if and (hasPrefix "SASL" $protocol) (not $keda.authentication) }}
{{- fail (printf "%s.keda.authentication: is needed with SASL, such as [{parameter: username, key: kafka-username}, {parameter: password, key: kafka-password}]" .role) }}
{{- end }}
{{- if $keda.authentication }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ .name }}
  labels:
    {{- include "vedette.labels" $root | nindent 4 }}
spec:
  secretTargetRef:
    {{- range $keda.authentication }}
    - {parameter: {{ .parameter }}, name: {{ $root.Values.secret.name }}, key: {{ .key }}}
    {{- end }}
{{- end }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  labels:
    {{- include "vedette.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  scaleTargetRef: {name: {{ .name }}}
  minReplicaCount: {{ $keda.minReplicaCount }}
  # More than partitions would wait in reserve.
  maxReplicaCount: {{ min $keda.maxReplicaCount $root.Values.topics.partitions }}
  pollingInterval: {{ $keda.pollingInterval }}
  cooldownPeriod: {{ $keda.cooldownPeriod }}
  triggers:
    {{- range include "vedette.topics" . | splitList "\n" }}
    - type: kafka
      metadata:
        bootstrapServers: {{ default (list "localhost:9092") $kafka.brokers | join "," }}
        consumerGroup: {{ $group }}
        topic: {{ . | quote }}
        lagThreshold: {{ $keda.lagThreshold | toString | quote }}
        activationLagThreshold: {{ $keda.activationLagThreshold | toString | quote }}
        offsetResetPolicy: {{ $start }}
        {{- if hasSuffix "SSL" $protocol }}
        tls: enable
        {{- end }}
        {{- if hasPrefix "SASL" $protocol }}
        sasl: {{ get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512") (required "config.kafka.security.mechanism: is needed with SASL" $security.mechanism) }}
        {{- end }}
        {{- with $keda.metadata }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if $keda.authentication }}
      authenticationRef: {name: {{ $.name }}}
      {{- end }}
    {{- end }}
{{- end }}

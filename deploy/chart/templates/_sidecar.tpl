{{/*
A native sidecar: an entry for `initContainers` of a pod of another chart, from Kubernetes 1.29.
The pod has volumes named `vedette-config` (the ConfigMap), `vedette-scratch` and
`sidecar.dataVolume`.

No readiness probe: a monitor that is not ready must not take the service that it watches out of
its Service. No startup probe: Kubernetes would start the service only once it succeeds, with a
configuration that is wrong never. The probe runs inside, since nothing outside the pod reaches loopback.
*/}}
{{- define "vedette.sidecar" -}}
{{- $side := .Values.sidecar -}}
{{- $livez := printf "%s://127.0.0.1:%d/livez" (ternary "https" "http" (ne "" (dig "server" "cert_file" "" .Values.config))) (int .Values.ports.http) -}}
- name: vedette
  image: {{ include "vedette.image" (dict "root" . "suffix" "") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [serve, -c, /etc/vedette/vedette.yaml{{ if $side.logs.volume }}, --follow, {{ printf "/logs/%s" $side.logs.file | quote }}{{ end }}]
  securityContext:
    {{- merge (dict "runAsNonRoot" true "runAsUser" 10001 "seccompProfile" (dict "type" "RuntimeDefault")) (default dict .Values.securityContext) | toYaml | nindent 4 }}
  ports:
    - {name: vedette, containerPort: {{ .Values.ports.http }}}
  env:
    - {name: LIVEZ, value: {{ $livez }}}
    - {name: VEDETTE_STORE__URL, value: sqlite:////data/vedette.db}
    {{- with .Values.extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  livenessProbe:
    exec: {command: [python, -IS, /opt/live.py]}
    {{- toYaml $side.livenessProbe | nindent 4 }}
  resources:
    {{- toYaml (default dict $side.resources) | nindent 4 }}
  volumeMounts:
    - {name: vedette-config, mountPath: /etc/vedette, readOnly: true}
    - {name: vedette-scratch, mountPath: /tmp}
    - {name: {{ $side.dataVolume }}, mountPath: /data}
    {{- with $side.logs.volume }}
    - {name: {{ . }}, mountPath: /logs}
    {{- end }}
    {{- with $side.secretVolume }}
    - {name: {{ . }}, mountPath: {{ $.Values.secret.mountPath }}, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

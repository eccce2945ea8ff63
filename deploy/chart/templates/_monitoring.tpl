{{/* How a port is scraped; the server wants a token. */}}
{{- define "vedette.endpoint" -}}
port: {{ .port }}
path: /metrics
interval: {{ .told.interval }}
scrapeTimeout: {{ .told.scrapeTimeout }}
{{- if eq .port "http" }}
{{- if dig "server" "cert_file" "" .root.Values.config }}
scheme: https
tlsConfig: {insecureSkipVerify: true}
{{- end }}
authorization:
  credentials: {name: {{ .root.Values.secret.name }}, key: {{ .root.Values.server.metricsTokenKey }}}
{{- end }}
{{- with .told.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .told.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a role's pods are: its own values over those at the top. A dict as JSON. */}}
{{- define "vedette.own" -}}
{{- $top := pick .root.Values "podAnnotations" "podLabels" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "terminationGracePeriodSeconds" "lifecycleHooks" "extraEnvs" "extraEnvsFrom" "extraVolumes" "extraVolumeMounts" "extraContainers" "initContainers" -}}
{{- mergeOverwrite (deepCopy $top) (deepCopy (index .root.Values .role)) | toJson -}}
{{- end }}

{{- define "vedette.pod" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- $own := include "vedette.own" . | fromJson -}}
{{- $gpu := $own.gpu.enabled -}}
metadata:
  labels:
    {{- include "vedette.podLabels" . | nindent 4 }}
    {{- with $own.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- if $root.Values.enableConfigChecksumAnnotation }}
    checksum/config: {{ include "vedette.config" $root | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: {{ $role }}
    {{- with $own.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "vedette.podHead" (dict "root" $root "account" (include "vedette.serviceAccount" $root)) | nindent 2 }}
  terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
  {{- with ternary (coalesce $own.gpu.runtimeClassName $own.runtimeClassName) $own.runtimeClassName $gpu }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $own.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $chosen := include "vedette.selector" $root | fromYaml | merge (dict "app.kubernetes.io/component" $role) }}
    - {{- toYaml (merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" $chosen))) | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with $own.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $role }}
      {{- include "vedette.container" (dict "root" $root "role" $role "own" $own) | nindent 6 }}
    {{- with $own.extraContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "vedette.volumes" (dict "root" $root "config" (include "vedette.fullname" $root)) | nindent 4 }}
    {{- if $gpu }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $own.gpu.sharedMemory }}}
    {{- end }}
    {{- with $own.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* What pods of every kind have. */}}
{{- define "vedette.podHead" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml (default dict .root.Values.podSecurityContext) | nindent 2 }}
{{- end }}

{{- define "vedette.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: secret
  secret: {secretName: {{ .root.Values.secret.name }}, defaultMode: 0440}
- name: scratch
  emptyDir: {sizeLimit: {{ .root.Values.scratch.sizeLimit }}}
{{- end }}

{{- define "vedette.mounts" -}}
- {name: config, mountPath: /etc/vedette, readOnly: true}
- {name: secret, mountPath: {{ .Values.secret.mountPath }}, readOnly: true}
- {name: scratch, mountPath: /tmp}
{{- end }}

{{/* The pod of a Job, which is a hook or is not. */}}
{{- define "vedette.jobPod" -}}
{{- $root := .root -}}
{{- $name := include "vedette.fullname" $root -}}
metadata:
  labels:
    {{- include "vedette.podLabels" (dict "root" $root "role" .told.job) | nindent 4 }}
spec:
  {{- /* An account that this release makes does not exist before the install. */}}
  {{- $made := and (eq .hook "true") $root.Values.serviceAccount.create }}
  {{- include "vedette.podHead" (dict "root" $root "account" (ternary "default" (include "vedette.serviceAccount" $root) $made)) | nindent 2 }}
  restartPolicy: Never
  {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
  {{- with get $root.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: {{ .told.job }}
      image: {{ include "vedette.image" (dict "root" $root "suffix" "") }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ concat .told.args (list "-c" "/etc/vedette/vedette.yaml") | toJson }}
      securityContext:
        {{- toYaml (default dict $root.Values.securityContext) | nindent 8 }}
      env:
        {{- include "vedette.secretEnv" (dict "root" $root "url" .told.url) | trim | nindent 8 }}
        {{- with $root.Values.extraEnvs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.extraEnvsFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml (default dict $root.Values.migration.resources) | nindent 8 }}
      volumeMounts:
        {{- include "vedette.mounts" $root | nindent 8 }}
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "vedette.volumes" (dict "root" $root "config" (ternary (printf "%s-hook" $name) $name (ne .hook ""))) | nindent 4 }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

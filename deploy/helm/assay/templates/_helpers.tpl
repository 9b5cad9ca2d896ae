{{- define "assay.labels" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "assay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Each server by name: clients go on with the others when one is gone, whatever the service's DNS still says. */}}
{{- define "assay.engine" -}}
{{- if .Values.nats.enabled -}}
{{- $nats := .Values.nats.fullnameOverride -}}
nats://{{ range $i := until (int .Values.nats.config.cluster.replicas) }}{{ if $i }},{{ end }}{{ $nats }}-{{ $i }}.{{ $nats }}-headless:4222{{ end }}
{{- else -}}
{{ required "engine: nats.enabled is false, so it has to say where NATS is" .Values.engine }}
{{- end -}}
{{- end }}

{{/*
The headless service, and no other: a pod that is not the consumer's leader does not know its depth, and KEDA finds the one that
does at POD.HOST, POD being the server's name.
*/}}
{{- define "assay.monitoring" -}}
{{- if .Values.nats.enabled -}}
{{ .Values.nats.fullnameOverride }}-headless.{{ .Release.Namespace }}.svc:8222
{{- else -}}
{{ required "monitoring: nats.enabled is false, so it has to say where NATS is asked" .Values.monitoring }}
{{- end -}}
{{- end }}

{{/* The lines of TOML that the API and the workers share; [limits] is last, so that each can go on with it. */}}
{{- define "assay.toml" -}}
require = {{ .Values.require | toJson }}

[nats]
# Of each message three servers have a copy, so that one may go. Fewer only where there is one server.
replicas = {{ if .Values.nats.enabled }}{{ int .Values.nats.config.cluster.replicas }}{{ else }}3{{ end }}
storage = "file"
ca = "/etc/assay/nats/ca.crt"
certificate = "/etc/assay/nats/tls.crt"
key = "/etc/assay/nats/tls.key"
blobs = {{ .Values.blobs | quote }}
cache = "/var/lib/assay"
cache_bytes = {{ int64 .Values.cache.bytes }}

[limits]
{{- range $name, $value := .Values.limits }}
{{ $name }} = {{ int64 $value }}
{{- end }}
{{- end }}

{{- define "assay.api.toml" -}}
{{ include "assay.toml" . }}
slot_memory_bytes = {{ int64 .Values.api.slotMemoryBytes }}
{{- if not .Values.api.insecure }}

[tls]
certificate = "/etc/assay/tls/tls.crt"
key = "/etc/assay/tls/tls.key"
{{- end }}

{{ .Values.api.config }}
{{- end }}

{{/* Of (dict "root" $ "pool" pool). */}}
{{- define "assay.worker.toml" -}}
{{ include "assay.toml" .root }}
slot_memory_bytes = {{ int64 .pool.slotMemoryBytes }}

{{ .root.Values.worker.config }}
{{- end }}

{{/* What Pod Security's level `restricted` asks, and a read-only root beside it. Slots need no more: landlock, seccomp and
rlimits are there for any process, and RuntimeDefault lets landlock's and seccomp's own calls through. */}}
{{- define "assay.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "assay.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "assay.env" -}}
env:
  # Whatever wants a temporary file: the root is read-only.
  - {name: TMPDIR, value: /var/lib/assay}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "assay.mounts" -}}
volumeMounts:
  - {name: config, mountPath: /etc/assay, readOnly: true}
  - {name: cache, mountPath: /var/lib/assay}
{{- end }}

{{/* Of (dict "root" $ "file" key-in-the-ConfigMap "nats" secret "tls" secret-or-empty). */}}
{{- define "assay.volumes" -}}
volumes:
  - name: config
    projected:
      defaultMode: 0440
      sources:
        - configMap:
            name: {{ .root.Release.Name }}
            items: [{key: {{ .file }}, path: assay.toml}]
        - secret:
            name: {{ .nats }}
            items:
              - {key: ca.crt, path: nats/ca.crt}
              - {key: tls.crt, path: nats/tls.crt}
              - {key: tls.key, path: nats/tls.key}
        {{- with .tls }}
        - secret:
            name: {{ . }}
            items:
              - {key: tls.crt, path: tls/tls.crt}
              - {key: tls.key, path: tls/tls.key}
        {{- end }}
  - name: cache
    emptyDir: {sizeLimit: {{ .root.Values.cache.sizeLimit }}}
{{- end }}

{{- define "assay.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

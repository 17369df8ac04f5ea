{{- /* Names. A release has one chart, so its name is enough; 40 leave room for what controllers append. */}}
{{- define "rb.release" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "rb.controlPlane" -}}
{{ include "rb.release" . }}-control-plane
{{- end }}

{{- define "rb.facade" -}}
{{ include "rb.release" . }}-facade
{{- end }}

{{- /* Takes a list: the root, and the component. */}}
{{- define "rb.selector" -}}
app.kubernetes.io/name: registry-backends
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "rb.labels" -}}
{{- $root := index . 0 }}
{{- include "rb.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Names of Secrets: given, or made by cert-manager under a name of ours. */}}
{{- define "rb.controlPlaneTls" -}}
{{- if .Values.controlPlane.tlsSecretName }}{{ .Values.controlPlane.tlsSecretName }}
{{- else if .Values.certManager.enabled }}{{ include "rb.controlPlane" . }}-tls
{{- else }}{{ required "controlPlane.tlsSecretName: a Secret of the type kubernetes.io/tls; or certManager.enabled, or controlPlane.behindTlsProxy" "" }}
{{- end }}
{{- end }}

{{- define "rb.facadeTls" -}}
{{- if .Values.facade.tlsSecretName }}{{ .Values.facade.tlsSecretName }}
{{- else if .Values.certManager.enabled }}{{ include "rb.facade" . }}-tls
{{- else }}{{ required "facade.tlsSecretName: a Secret of the type kubernetes.io/tls; or certManager.enabled" "" }}
{{- end }}
{{- end }}

{{- /* How long a stopped pod goes on as before, until nobody sends it anything new. */}}
{{- define "rb.leaveSeconds" -}}
10
{{- end }}

{{- /* The whole time a pod has to stop: leaving, draining, and the 15 s after which a process ends itself. */}}
{{- define "rb.graceSeconds" -}}
{{ add (include "rb.leaveSeconds" .root | int) .drainSeconds 20 }}
{{- end }}

{{- /* What a pod may do: Pod Security "restricted". */}}
{{- define "rb.podSecurity" -}}
automountServiceAccountToken: false
# Kubernetes would set FACADE_PORT and its like, and the product refuses variables that it does not know.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "rb.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Replicas apart, by machine and by zone, as far as there are any. */}}
{{- define "rb.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "rb.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- /* Settings: plain ones, and secret ones as paths of files. Takes a component's values. */}}
{{- define "rb.settings" -}}
{{- range $name, $value := .settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- range $name, $key := .secretSettings }}
- name: {{ $name }}_FILE
  value: /etc/registry-backends/secret/{{ $key }}
{{- end }}
{{- end }}

{{- define "rb.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
{{- end }}

{{- define "rb.databaseCaVolume" -}}
{{- with .Values.database.caConfigMap }}
- name: database-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}

{{- define "rb.databaseCaMount" -}}
{{- if .Values.database.caConfigMap }}
- name: database-ca
  mountPath: /etc/registry-backends/database-ca
  readOnly: true
{{- end }}
{{- end }}

{{- /* Whether anything is kept: a size such as 0, 0Gi is nothing. */}}
{{- define "rb.cacheBytes" -}}
{{- $size := .Values.facade.cache.size | toString }}
{{- $number := regexFind "^[0-9]+" $size | int64 }}
{{- $unit := get (dict "" 1 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) (regexFind "[A-Z][a-z]$" $size) | int64 }}
{{- div (mul $number $unit 4) 5 }}
{{- end }}

{{- define "rb.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .name }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .volume.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .volume.size }}
{{- end }}

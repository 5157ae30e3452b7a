{{/* Labels of every object. Call: include "klambda.labels" (list $ "gateway") */}}
{{- define "klambda.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{ include "klambda.selector" . }}
{{- end }}

{{- define "klambda.selector" -}}
app.kubernetes.io/name: klambda
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* What all pods of ours have: identity, no privileges, pull secrets, placement. */}}
{{- define "klambda.pod" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $values := index $root.Values $part -}}
serviceAccountName: klambda-{{ $part }}
{{- with include "klambda.priorityClass" $root }}
priorityClassName: {{ . }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: {{ default 30 $values.terminationGracePeriodSeconds }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.affinity }}
affinity: {{- toYaml $values.affinity | nindent 2 }}
{{- else if gt (int (default 1 $values.replicas)) 1 }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "klambda.selector" . | nindent 14 }}
{{- end }}
{{- end }}

{{/* The container's part: image, entry point, security, resources. */}}
{{- define "klambda.container" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}
name: {{ $part }}
image: {{ $root.Values.images.controlPlane }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
command: [python, -m, klambda_{{ $part }}]
securityContext: {{- include "klambda.restricted" $root | nindent 2 }}
resources: {{- toYaml (index $root.Values $part).resources | nindent 2 }}
{{- end }}

{{- define "klambda.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Environment that all three parts share. */}}
{{- define "klambda.env" -}}
- name: KLAMBDA_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: KLAMBDA_INSTALLATION_SECRET
  value: klambda-installation
- name: KLAMBDA_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- end }}

{{/* What operator and gateway must agree on. */}}
{{- define "klambda.env.shared" -}}
{{- range $old, $new := .Values.runtimeSubstitutions }}
{{- if not (hasKey $.Values.runtimes $new) }}
{{- fail (printf "runtimeSubstitutions.%s: %s is not in runtimes" $old $new) }}
{{- end }}
{{- end }}
{{ include "klambda.env" . }}
- name: KLAMBDA_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: KLAMBDA_REGION
  value: {{ .Values.region | quote }}
- name: KLAMBDA_URL_SCHEME
  value: {{ .Values.functionUrls.scheme | quote }}
- name: KLAMBDA_URL_DOMAIN
  value: {{ .Values.functionUrls.domain | quote }}
- name: KLAMBDA_URL_PORT
  value: {{ .Values.functionUrls.port | default "" | toString | quote }}
- name: KLAMBDA_CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain | quote }}
- name: KLAMBDA_ACCOUNTS
  value: {{ .Values.accounts | toJson | quote }}
- name: KLAMBDA_SCALING
  value: {{ .Values.scaling | toJson | quote }}
- name: KLAMBDA_RUNTIMES
  value: {{ .Values.runtimes | toJson | quote }}
- name: KLAMBDA_RUNTIME_SUBSTITUTIONS
  value: {{ ternary dict .Values.runtimeSubstitutions .Values.strictRuntimes | toJson | quote }}
- name: KLAMBDA_FUNCTION_IMAGES
  value: {{ .Values.functionImages | toJson | quote }}
- name: KLAMBDA_WATCH_NAMESPACES
  value: {{ join "," .Values.scope.namespaces | quote }}
- name: KLAMBDA_ADMIN_PORT
  value: "8081"
{{- end }}

{{- define "klambda.probes" -}}
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 2
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* The class of the parts' pods: the one that is named, the one that is made, or none. */}}
{{- define "klambda.priorityClass" -}}
{{- with .Values.priorityClass }}
{{- if .name }}{{ .name }}{{ else if .create }}{{ include "klambda.clusterName" (list $ "parts") }}{{ end }}
{{- end }}
{{- end }}

{{/* Names of cluster-wide objects: one set per installation. */}}
{{- define "klambda.clusterName" -}}
klambda-{{ index . 1 }}-{{ (index . 0).Release.Namespace }}
{{- end }}

{{/* The bundle of authorities that outgoing TLS trusts: its variable, mount and volume. */}}
{{- define "klambda.caBundle.env" -}}
{{- with .Values.caBundle }}
{{- if and .configMap .secret }}{{ fail "caBundle: give configMap or secret, not both" }}{{ end }}
{{- if or .configMap .secret }}
- name: KLAMBDA_CA_BUNDLE
  value: /etc/klambda/ca/{{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{- define "klambda.caBundle.mount" -}}
{{- with .Values.caBundle }}
{{- if or .configMap .secret }}
- {name: ca, mountPath: /etc/klambda/ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "klambda.caBundle.volume" -}}
{{- with .Values.caBundle }}
{{- if .configMap }}
- name: ca
  configMap: {name: {{ .configMap }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
{{- else if .secret }}
- name: ca
  secret: {secretName: {{ .secret }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
{{- end }}
{{- end }}
{{- end }}

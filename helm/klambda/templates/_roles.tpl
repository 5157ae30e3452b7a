{{/* What people and functions may be granted (docs/security.md). One definition per role. */}}
{{- define "klambda.role.viewer" -}}
- apiGroups: [klambda.io]
  resources: [functions, versions, aliases, layerversions, eventsourcemappings, codesigningconfigs]
  verbs: [get, list, watch]
{{- end }}

{{- define "klambda.role.invoker" -}}
- apiGroups: [klambda.io]
  resources: [functions, functions/url]
  verbs: [invoke]
{{- end }}

{{/* Everything but pod settings: those reach Secrets and service accounts of the namespace. */}}
{{- define "klambda.role.developer" -}}
- apiGroups: [klambda.io]
  resources: [functions, versions, aliases, layerversions, eventsourcemappings, codesigningconfigs]
  verbs: [get, list, watch, create, update, patch, delete, deletecollection]
{{ include "klambda.role.invoker" . }}
{{- end }}

{{- define "klambda.role.admin" -}}
{{ include "klambda.role.developer" . }}
- apiGroups: [klambda.io]
  resources: [functions/pod]
  verbs: [use]
{{- end }}

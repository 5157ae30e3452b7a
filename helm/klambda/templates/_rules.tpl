{{/* Who may do what in the namespaces of functions. Whom each right is for: tests/unit/chart/test_rights.py. */}}
{{- define "klambda.rules.gateway" -}}
- apiGroups: [klambda.io]
  resources: [functions, versions, aliases, layerversions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [klambda.io]
  resources: [eventsourcemappings, codesigningconfigs]
  verbs: [get, list, create, patch, delete]
- apiGroups: [klambda.io]
  resources: [functions/status, versions/status, aliases/status, layerversions/status]
  verbs: [patch]
# Owner references that block deletion ask for it where that admission plugin is on.
- apiGroups: [klambda.io]
  resources: [functions/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
{{- if .Values.burstPods.enabled }}
# Instances that would queue behind the controller-manager.
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
{{- end }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# May this caller do that here?
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end }}

{{- define "klambda.rules.operator" -}}
- apiGroups: [klambda.io]
  resources: [functions]
  verbs: [get, list, watch]
# To add a missing owner reference to what a user made, and to clear what a vanished function left.
- apiGroups: [klambda.io]
  resources: [versions, aliases]
  verbs: [get, list, watch, patch, delete]
# For spec.publish and autoPublish.
- apiGroups: [klambda.io]
  resources: [versions]
  verbs: [create]
- apiGroups: [klambda.io]
  resources: [functions/status, versions/status, aliases/status]
  verbs: [patch]
- apiGroups: [klambda.io]
  resources: [functions/finalizers, versions/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* For the annotation klambda.io/account-id, which with scope.namespaces nobody reads: accounts. */}}
{{- define "klambda.rules.namespaces.gateway" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}

{{- define "klambda.rules.namespaces.operator" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}

{{/* In Klambda's own namespace. */}}
{{- define "klambda.rules.own.gateway" -}}
# Access keys and the installation key; the first of both are made at the first start.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, patch]
# The other gateways.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- end }}

{{- define "klambda.rules.own.operator" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [klambda-installation]
  verbs: [get]
# Names cannot be given for create.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, patch]
{{- end }}

{{- define "klambda.rules.own.store" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [klambda-installation]
  verbs: [get]
{{- end }}

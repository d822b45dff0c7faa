{{- /* Each takes a dict of `root`, the chart's context, and `name`, the service's. */}}

{{- define "cursus.name" -}}
{{ .root.Release.Name | trunc 50 | trimSuffix "-" }}-{{ .name }}
{{- end }}

{{- /* What selects a service's pods. It never changes: a Deployment's selector cannot. */}}
{{- define "cursus.selector" -}}
app.kubernetes.io/name: cursus
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "cursus.labels" -}}
{{ include "cursus.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

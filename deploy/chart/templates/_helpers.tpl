{{- define "cursus.labels" -}}
app.kubernetes.io/part-of: cursus
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .name }}
{{- end }}
{{- define "cursus.address" -}}
http://{{ .root.Release.Name }}-{{ .name }}:7000
{{- end }}

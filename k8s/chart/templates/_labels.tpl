{{- /* What every object of the release carries; the same as in k8s/base. */ -}}
{{- define "xstilts.labels" -}}
app.kubernetes.io/name: xstilts
{{- end }}

{{- define "xstilts.podLabels" -}}
app.kubernetes.io/name: xstilts
app.kubernetes.io/component: operator
{{- end }}

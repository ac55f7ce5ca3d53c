{{- define "privet.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "privet.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "privet.labels" -}}
{{ include "privet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "privet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "privet.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* An image by digest where one is given, else by tag. Takes {image, tag}. */ -}}
{{- define "privet.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* One of the three places that outlive a container. Takes {name, claim, settings}. */ -}}
{{- define "privet.volume" -}}
- name: {{ .name }}
{{- if .settings.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default .claim .settings.persistence.existingClaim }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .settings.emptyDirSize }}
{{- end }}
{{- end -}}

{{/* The one name of the control plane's objects: the Service's is fixed, so a cluster has one mesh. */}}
{{- define "lateral.name" -}}lateral-control-plane{{- end }}

{{- define "lateral.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "lateral.selectorLabels" -}}
app.kubernetes.io/name: lateral
app.kubernetes.io/component: control-plane
{{- end }}

{{- define "lateral.commonLabels" -}}
app.kubernetes.io/name: lateral
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: lateral
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "lateral.labels" -}}
{{ include "lateral.commonLabels" . }}
app.kubernetes.io/component: control-plane
{{- end }}

{{/* The Secret of the certificate authority: the user's, or the one that the control plane fills. */}}
{{- define "lateral.authoritySecret" -}}
{{ .Values.authority.secretName | default "lateral-ca" }}
{{- end }}

{{/* The version of TLSRoute: the one that is asked for, or the newest that the cluster serves. */}}
{{- define "lateral.tlsRouteVersion" -}}
{{- $version := .Values.gatewayApi.version }}
{{- range list "v1" "v1alpha3" "v1alpha2" }}
{{- if and (not $version) ($.Capabilities.APIVersions.Has (printf "gateway.networking.k8s.io/%s/TLSRoute" .)) }}
{{- $version = . }}
{{- end }}
{{- end }}
{{- if not $version }}
{{- fail "gatewayApi.enabled: the cluster serves no TLSRoute; install the Gateway API's definitions (before release 1.5 TLSRoute is in its experimental channel only), or name their version in gatewayApi.version" }}
{{- end }}
{{- $version }}
{{- end }}

{{- /* privet's configuration file: docs/configuration.md. */ -}}
{{- define "privet.config" -}}
apiVersion: privet.dev/v1alpha1
kind: Config
listeners:
  - name: events
    address: {{ printf "%s:%d" .Values.privet.bindAddress (int .Values.privet.ports.events) | quote }}
    formats: {{ toJson .Values.formats }}
    {{- with .Values.jurisdiction }}
    {{- if or .is .header }}
    jurisdiction:
      {{- with .is }}
      is: {{ quote . }}
      {{- end }}
      {{- with .header }}
      header: {{ quote . }}
      {{- end }}
      {{- with .trustedPeers }}
      trusted_peers: {{ toJson . }}
      {{- end }}
    {{- end }}
    {{- end }}
    {{- if .Values.tls.secretName }}
    tls:
      certificate: /etc/privet/tls/tls.crt
      key: /etc/privet/tls/tls.key
      {{- if .Values.tls.clientCaSecretName }}
      client_ca: /etc/privet/client-ca/ca.crt
      {{- end }}
    {{- end }}
admin:
  address: {{ printf "%s:%d" .Values.privet.bindAddress (int .Values.privet.ports.admin) | quote }}
{{- if .Values.console.tokenSecretName }}
console:
  token_file: /etc/privet/console/token
{{- end }}
metrics:
  address: {{ printf "%s:%d" .Values.privet.bindAddress (int .Values.privet.ports.metrics) | quote }}
{{- if .Values.shadow.configMaps }}
policies: {enforce: /etc/privet/policies, shadow: /etc/privet/shadow}
{{- else }}
policies: /etc/privet/policies
{{- end }}
{{- with .Values.signatures }}
{{- if .signers }}
signatures:
  signers: {{ toJson .signers }}
  required: {{ int .required }}
  {{- if .requiredToLoosen }}
  required_to_loosen: {{ int .requiredToLoosen }}
  {{- end }}
{{- end }}
{{- end }}
keyring: /etc/privet/keyring
log:
  directory: /var/lib/privet/log
  anchor_dir: /var/lib/privet/anchor
  origin: {{ default (printf "privet.local/%s/%s" .Release.Namespace (include "privet.name" .)) .Values.log.origin | quote }}
  durability: {{ .Values.log.durability }}
  {{- if eq .Values.log.durability "lease" }}
  lease_events: {{ int64 .Values.log.leaseEvents }}
  {{- end }}
exports: {{ include "privet.exports" . }}
consent: {{ toJson (default (dict "directory" "/var/lib/privet/consent") .Values.consent.settings) }}
{{- if or .Values.upstream.caSecretName .Values.upstream.clientSecretName }}
upstream:
  {{- if .Values.upstream.caSecretName }}
  ca: /etc/privet/upstream-ca/ca.crt
  {{- end }}
  {{- if .Values.upstream.clientSecretName }}
  certificate: /etc/privet/upstream-client/tls.crt
  key: /etc/privet/upstream-client/tls.key
  {{- end }}
{{- end }}
{{- if .Values.bypass.enabled }}
bypass: {check: record, allow_listening: {{ toJson .Values.bypass.allowListening }}}
{{- end }}
{{- with .Values.challenges.auditors }}
challenges: {auditors: {{ toJson . }}}
{{- end }}
{{- with .Values.telemetry.settings }}
telemetry: {{ toJson . }}
{{- end }}
limits:
  body_bytes_max: {{ int64 .Values.limits.bodyBytesMax }}
  decoded_bytes_max: {{ int64 .Values.limits.decodedBytesMax }}
  in_flight_bytes_max: {{ mul .Values.limits.inFlightMiB 1048576 }}
  connections_max: {{ int64 .Values.limits.connectionsMax }}
  upstream_timeout_secs: {{ int .Values.limits.upstreamTimeoutSeconds }}
drain:
  # The hook's sleep has passed by then, so nothing new arrives.
  delay_secs: 0
  grace_secs: {{ int .Values.drain.graceSeconds }}
{{- end -}}
{{- /* The section `exports`, as JSON: what the chart decides stands over exports.settings; see privet.demands. */ -}}
{{- define "privet.exports" -}}
{{- $own := dict "directory" "/var/lib/privet/exports" "volume" (ternary "persistent" "pod" .Values.exports.persistence.enabled) -}}
{{- with .Values.exports.ledger.settings -}}
{{- $_ := set $own "ledger" . -}}
{{- end -}}
{{- toJson (merge $own .Values.exports.settings) -}}
{{- end -}}

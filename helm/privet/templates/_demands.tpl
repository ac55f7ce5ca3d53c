{{- /* What the schema cannot say: values that have to fit together. Included by the Deployment, first. */ -}}
{{- define "privet.demands" -}}
{{- $_ := required "collector.image.repository is empty: name the image of your collector" .Values.collector.image.repository -}}
{{- if not (or .Values.collector.image.tag .Values.collector.image.digest) -}}
{{- fail "collector.image needs a tag or a digest: without one a restart may run another collector" -}}
{{- end -}}
{{- $_ := required "keyring.secretName is empty: put the keyring's EPOCH.key files into a Secret and name it here" .Values.keyring.secretName -}}
{{- if not (or .Values.policies.configMaps .Values.policies.files) -}}
{{- fail "no policies: name ConfigMaps in policies.configMaps or give the files in policies.files; without a policy nothing may leave" -}}
{{- end -}}
{{- with .Values.signatures -}}
{{- if and .signers (gt (int (max .required .requiredToLoosen)) (len .signers)) -}}
{{- fail (printf "signatures.required or signatures.requiredToLoosen is more than the %d signatures.signers: nothing would ever come into force" (len .signers)) -}}
{{- end -}}
{{- if and .signers .requiredToLoosen (lt (int .requiredToLoosen) (int .required)) -}}
{{- fail "signatures.requiredToLoosen is less than signatures.required: a change that lets more leave needs no fewer signers than any other" -}}
{{- end -}}
{{- end -}}
{{- range $volume := list "log" "anchor" "exports" -}}
{{- if and (index $.Values $volume).persistence.enabled (gt (int $.Values.replicas) 1) -}}
{{- fail (printf "%s.persistence.enabled with replicas above 1: the pods would write into one volume; set replicas to 1 or use one release per pod" $volume) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := dict "directory" "the chart mounts its volume" "volume" "it follows from exports.persistence.enabled" "ledger" "write exports.ledger.settings" -}}
{{- if hasKey $.Values.exports.settings $key -}}
{{- fail (printf "exports.settings.%s has no effect: %s" $key $value) -}}
{{- end -}}
{{- end -}}
{{- $least := add .Values.collector.preStopSleepSeconds .Values.drain.graceSeconds .Values.exports.publishSeconds 5 -}}
{{- if lt (int .Values.drain.terminationGracePeriodSeconds) (int $least) -}}
{{- fail (printf "drain.terminationGracePeriodSeconds must be at least %d: collector.preStopSleepSeconds + drain.graceSeconds + exports.publishSeconds + 5, or the last releases and the log's last checkpoint are cut off" (int $least)) -}}
{{- end -}}
{{- if eq (int (default 0 .Values.collector.securityContext.runAsUser)) (int .Values.privet.runAsUser) -}}
{{- fail "collector.securityContext.runAsUser equals privet.runAsUser: the collector could read the keyring's memory and rewrite the log; give it another user" -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $name, $port := merge (dict "collector" .Values.collector.port) .Values.privet.ports -}}
{{- if hasKey $ports (toString $port) -}}
{{- fail (printf "port %v is given to both %s and %s: they share one network namespace" $port (get $ports (toString $port)) $name) -}}
{{- end -}}
{{- $_ := set $ports (toString $port) $name -}}
{{- end -}}
{{- if gt (int64 .Values.limits.bodyBytesMax) (mul .Values.limits.inFlightMiB 1048576) -}}
{{- fail "limits.bodyBytesMax is more than limits.inFlightMiB: a body of the largest size would never be taken" -}}
{{- end -}}
{{- if lt (int64 .Values.limits.decodedBytesMax) (int64 .Values.limits.bodyBytesMax) -}}
{{- fail "limits.decodedBytesMax is less than limits.bodyBytesMax: a body that is not compressed has both sizes" -}}
{{- end -}}
{{- if ne (empty .Values.jurisdiction.header) (empty .Values.jurisdiction.trustedPeers) -}}
{{- fail "jurisdiction.header and jurisdiction.trustedPeers go together: a header from anybody could name the mildest jurisdiction" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecretName (not .Values.tls.secretName) -}}
{{- fail "tls.clientCaSecretName without tls.secretName: client certificates need TLS" -}}
{{- end -}}
{{- end -}}

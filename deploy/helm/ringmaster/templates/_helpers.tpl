{{- define "ringmaster.labels" -}}
app.kubernetes.io/name: ringmaster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "ringmaster.selector" -}}
app.kubernetes.io/name: ringmaster
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ringmaster.name" -}}
{{- if contains "ringmaster" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-ringmaster" (.Release.Name | trunc 29 | trimSuffix "-") }}{{- end -}}
{{- end -}}

{{/* The store block of the main file. */}}
{{- define "ringmaster.store" -}}
{{- if eq .Values.mode "embedded" -}}
store: embedded
embedded:
  data_directory: /var/lib/ringmaster/store
  # The NetworkPolicy keeps others from the peers' port. For TLS set embedded.peer_tls in scrapingService.kvstore.
  insecure: true
  peers:
{{- range $i := until (int .Values.replicas) }}
    - name: {{ include "ringmaster.name" $ }}-{{ $i }}
      url: http://{{ include "ringmaster.name" $ }}-{{ $i }}.{{ include "ringmaster.name" $ }}-peers.{{ $.Release.Namespace }}.svc:2380
{{- end }}
{{- else -}}
{{- if not .Values.store }}{{ fail "mode external needs the store: set store.store to etcd or consul" }}{{ end -}}
{{ toYaml .Values.store }}
{{- end -}}
{{- end -}}

{{/* The main file. */}}
{{- define "ringmaster.config" -}}
{{- $store := include "ringmaster.store" . | fromYaml -}}
{{- $service := dict "enabled" true "kvstore" $store "gossip" (dict "listen_address" "0.0.0.0:7946") -}}
{{- $service = mustMergeOverwrite $service (deepCopy .Values.scrapingService) -}}
{{- $metrics := dict "wal_directory" "/var/lib/ringmaster/wal" "global" .Values.global "scraping_service" $service -}}
{{- $metrics = mustMergeOverwrite $metrics (deepCopy .Values.metrics) -}}
{{- toYaml (dict "server" (mustMergeOverwrite (dict "log_level" "info") (deepCopy .Values.server)) "metrics" $metrics) -}}
{{- end -}}

{{- /*
Networks of a NetworkPolicy, without the metadata addresses of clouds.

Takes networks; gives an ipBlock for each. All that is left out (shared/upstream/egress.py has the same
list) are /32 networks, of IPv4 and IPv6 alike: so the first 32 bits of a network decide.
*/}}
{{- define "rb.metadata" -}}
169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 168.63.129.16/32 192.0.0.192/32 100.100.100.200/32 fd00:ec2::/32 fd20:ce::/32
{{- end }}

{{- /* The first 32 bits of a network, as a number. */}}
{{- define "rb.first32" -}}
{{- $address := index (splitList "/" .) 0 }}
{{- $number := 0 | int64 }}
{{- if contains ":" $address }}
{{- $before := index (splitList "::" $address) 0 }}
{{- $groups := concat (compact (splitList ":" $before)) (list "0" "0") }}
{{- $number = add (mul (printf "0x%s" (index $groups 0) | int64) 65536) (printf "0x%s" (index $groups 1) | int64) }}
{{- else }}
{{- range splitList "." $address }}
{{- $number = add (mul $number 256) (. | int64) }}
{{- end }}
{{- end }}
{{- $number }}
{{- end }}

{{- define "rb.ipBlocks" -}}
{{- range $network := . }}
{{- $isV6 := contains ":" $network }}
{{- $bits := index (splitList "/" $network) 1 | int }}
{{- $share := 1 | int64 }}
{{- range until (int (sub 32 (min $bits 32))) }}{{ $share = mul $share 2 }}{{ end }}
{{- $number := include "rb.first32" $network | int64 }}
{{- $without := list }}
{{- range splitList " " (include "rb.metadata" $) }}
{{- if eq (contains ":" .) $isV6 }}
{{- if eq (div (include "rb.first32" . | int64) $share) (div $number $share) }}
{{- $without = append $without . }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $without (ge $bits 32) }}
{{- fail (printf "%s is a metadata address of a cloud: no network of networkPolicy may be one" $network) }}
{{- end }}
- ipBlock:
    cidr: {{ $network | quote }}
    {{- with $without }}
    except:
      {{- range . }}
      - {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{- /*
A rule of egress, or none where nobody is named: to Kubernetes an empty list is everybody.
Takes peers, networks, and ports as "PORT/PROTOCOL".
*/}}
{{- define "rb.egressRule" -}}
{{- if or .peers .networks }}
- to:
    {{- with .peers }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- with .networks }}{{ include "rb.ipBlocks" . | nindent 4 }}{{ end }}
  ports:
    {{- range .ports }}
    {{- $port := splitList "/" . }}
    - {port: {{ index $port 0 }}, protocol: {{ index $port 1 }}}
    {{- end }}
{{- end }}
{{- end }}

{{- /* Whom every pod may ask: for names, and Postgres. */}}
{{- define "rb.egress" -}}
{{- $policy := .Values.networkPolicy }}
{{- include "rb.egressRule" (dict "peers" $policy.dns.peers "networks" $policy.dns.networks "ports" (list "53/UDP" "53/TCP")) }}
{{- $port := printf "%v/TCP" $policy.database.port }}
{{- include "rb.egressRule" (dict "peers" $policy.database.peers "networks" $policy.database.networks "ports" (list $port)) }}
{{- end }}

{{- /* Registries, and whatever stands for them. */}}
{{- define "rb.registryEgress" -}}
{{- $policy := .Values.networkPolicy.registries }}
{{- $ports := list }}
{{- range $policy.ports }}{{ $ports = append $ports (printf "%v/TCP" .) }}{{ end }}
{{- include "rb.egressRule" (dict "peers" list "networks" $policy.networks "ports" $ports) }}
{{- end }}

{{- /* A rule of ingress, or none where nobody is named. */}}
{{- define "rb.ingressRule" -}}
{{- if or .peers .networks }}
- from:
    {{- with .peers }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- with .networks }}{{ include "rb.ipBlocks" . | nindent 4 }}{{ end }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end }}
{{- end }}

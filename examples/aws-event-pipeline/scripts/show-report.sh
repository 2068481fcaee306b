#!/usr/bin/env bash
# What has happened, and where everything stands: eight questions to the gateway's API.
set -euo pipefail
. "$(dirname "$0")/prelude.sh"

# show TITLE PATH FILTER: asks, and prints what the filter makes of the answer.
show() {
  api GET "$2"
  [ "$status" = 200 ] || { echo "$2: $status $(problem)" >&2; exit 1; }
  printf '\n%s\n' "$1"
  jq -r -L "$example/scripts" "include \"table\"; $3" <<<"$body"
}

show 'Audit: what became of everything' "/v1/audit?$scope&limit=1000" '
  (.records | map([.kind, .outcome]) | counted | map([.[0][], .[1]])
    | [["KIND", "OUTCOME", "COUNT"]] + . | table),
  "", "The last ten",
  (.records[:10] | map([(.completed_at | clock), .kind, .action_type, .outcome, .provider, .rule])
    | [["AT", "KIND", "ACTION TYPE", "OUTCOME", "PROVIDER", "RULE"]] + . | table),
  if .next_cursor then "  … and more than these \(.records | length)" else empty end'

show 'Chains' "/v1/chains?$scope&limit=1000" '
  .chains | map([.chain_name, .status]) | counted | map([.[0][], .[1]])
  | [["CHAIN", "STATUS", "COUNT"]] + . | table'

show 'Events' "/v1/events?$scope" '
  if .events == [] then "  none: events belong to state machines, which this pipeline has none of"
  else .events | map([.fingerprint, .state]) | [["FINGERPRINT", "STATE"]] + . | table end'

show 'Provider health' '/v1/providers/health' '
  .providers | map([.provider, .type, .attempts, .failures, .latency_p50_ms, .last_error])
  | [["PROVIDER", "TYPE", "ATTEMPTS", "FAILURES", "MEDIAN MS", "LAST ERROR"]] + . | table'

show 'Quotas' "/v1/quotas/hourly-telemetry/usage?$scope" '
  [["QUOTA", "USED", "LIMIT", "LEFT", "RESETS AT"], [.name, .used, .limit, .remaining, (.resets_at | clock)]] | table'

show 'Open groups' "/v1/groups?$scope" '
  if .groups == [] then "  none: all have been sent"
  else .groups | map([.group_key, .group_size, (.notify_at | clock)]) | [["GROUP", "EVENTS", "DUE"]] + . | table end'

show 'Recurring actions' "/v1/recurring?$scope" '
  .recurring | map([.name, .cron_expression, .status, .execution_count, (.next_execution_at | clock)])
  | [["NAME", "CRON", "STATUS", "RUNS", "NEXT"]] + . | table'

show 'Retention' "/v1/retention?$scope" '
  .retention | map([.namespace + "/" + .tenant, .audit_ttl_seconds, .event_ttl_seconds])
  | [["SCOPE", "AUDIT S", "EVENTS S"]] + . | table'

#!/usr/bin/env bash
# Tells the gateway what belongs to this tenant: a quota, how long records are kept, and a heartbeat. Run it as often as you like.
set -euo pipefail
. "$(dirname "$0")/prelude.sh"

put() { # what it is, PATH, JSON, the line to print of the answer
  api PUT "$2" "$3"
  case $status in
    200 | 201) printf '%-18s %s\n' "$1" "$(jq -r "$4" <<<"$body")" ;;
    *) echo "$1: $status $(problem)" >&2; exit 1 ;;
  esac
}

put 'Quota' "/v1/quotas/hourly-telemetry?$scope" '{
  "max_actions": 500, "window": "hourly", "overage_behavior": "block",
  "description": "What this building may send in an hour"
}' '"\(.name): \(.max_actions) actions, \(.window)"'

put 'Retention' "/v1/retention?$scope" '{ "audit_ttl_seconds": 604800, "event_ttl_seconds": 172800 }' \
  '"audit \(.audit_ttl_seconds / 86400) days, events \(.event_ttl_seconds / 86400) days"'

put 'Recurring action' "/v1/recurring/device-heartbeat?$scope" "$(jq -n --arg cron "${HEARTBEAT_CRON:-*/5 * * * *}" '{
  provider: "event-bus", action_type: "device_heartbeat_check", cron_expression: $cron,
  payload: { check: "devices", round: "{{execution_count}}", at: "{{execution_time}}" },
  description: "Asks whether every device has been heard of"
}')" '"\(.name): \(.cron_expression), next at \(.next_execution_at // .next_at // "?")"'

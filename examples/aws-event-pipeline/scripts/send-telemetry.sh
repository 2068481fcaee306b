#!/usr/bin/env bash
# Plays an hour of a building in a second: 21 events, each with what became of it.
#   send-telemetry.sh                  all of them
#   send-telemetry.sh --only NAME      those of one kind, such as temperature or energy
#   send-telemetry.sh --burst N        N status reports as fast as they go; the throttled ones come again when they were told to
set -euo pipefail
. "$(dirname "$0")/prelude.sh"

kinds='critical intrusion temperature humidity energy rapid-fire duplicate test-device lifecycle firmware'
usage() { echo "usage: send-telemetry.sh [--only NAME | --burst N], NAME being one of: $kinds" >&2; exit 2; }
only='' burst=''
case $#:${1-} in
  0:) ;;
  2:--only) only=$2; case " $kinds " in *" $2 "*) ;; *) usage ;; esac ;;
  2:--burst) burst=$2; case $2 in '' | *[!0-9]* | 0) usage ;; esac ;;
  *) usage ;;
esac

# No two runs share an id, so no run's readings are duplicates of another's.
run=$(python3 -c 'import uuid; print(uuid.uuid4().hex[:12])')
sent=0 refused=0

# dispatch ACTION_TYPE DEDUP_KEY PAYLOAD: one action; the answer is in $body.
dispatch() {
  sent=$((sent + 1))
  action=$(jq -nc --arg ns "$namespace" --arg tenant "$tenant" --arg type "$1" --arg id "$run-$sent" --arg key "$run-$2" \
    --argjson payload "$3" '{namespace: $ns, tenant: $tenant, provider: "metrics-queue", action_type: $type, id: $id,
    dedup_key: $key, payload: $payload, metadata: {site: "hq"}}')
  again
}
again() { api POST /v1/dispatch "$action"; }

# What the answer says, in one line. An answer without an outcome is a refused request, and none should be.
say() {
  local told
  if told=$(jq -re 'select(.outcome) | . as $o | [
      (.outcome | . + " " * (14 - length)),
      ([(.reason | if . == "rule" then null else . end), (.rule // empty | "rule \(.)"), (.provider // empty | "to \(.)"),
        (if (.attempts // 1) > 1 then "\(.attempts) attempts" else null end),
        (.chain_name // empty), (.first_action_id // empty | "first sent as \(.)"),
        (.scheduled_for // empty | "due \(.)"), (.notify_at // empty | "one of \($o.group_size), due \(.)"),
        (.copies // [] | .[] | "copied as \(.)"), (.message // empty)]
        | map(select(. != null and . != "")) | join(", "))
    ] | join(" ")' <<<"$body" 2>/dev/null); then
    [ -z "$retry_after" ] || told="$told (Retry-After: $retry_after)"
  else
    told="refused: $(problem)" refused=$((refused + 1))
  fi
  # Counted by bash in characters, not by printf in bytes.
  printf '%s%*s → %s %s\n' "$1" $((44 - ${#1})) '' "$status" "$told"
}
event() { dispatch "$2" "$3" "$4"; say "$1"; }
reading() { # what it is, device, payload without the device; KEY where it is not the device's own
  event "$1" sensor_reading "${4:-$2}" "$(jq -nc --arg device "$2" --argjson rest "$3" '{device_id: $device} + $rest')"
}

critical() {
  reading 'Server room at 92.5 °C' temp-server-1 '{"sensor_type": "temperature", "value": 92.5, "unit": "°C", "floor": 0}'
  reading 'Boiler at 98.4 °C, mailed too' temp-boiler-1 '{"sensor_type": "temperature", "value": 98.4, "unit": "°C", "floor": -1}'
}
intrusion() {
  reading 'Movement at the east gate' motion-gate-e '{"sensor_type": "motion", "event": "intrusion", "zone": "east gate", "floor": 0}'
  reading 'Movement on the roof' motion-roof '{"sensor_type": "motion", "event": "intrusion", "zone": "roof", "floor": 6}'
}
temperature() {
  reading 'Lobby at 21.5 °C' temp-lobby '{"sensor_type": "temperature", "value": 21.5, "unit": "°C", "floor": 0}'
  reading 'Office at 71.6 °F' temp-office-3 '{"sensor_type": "temperature", "value": 71.6, "unit": "°F", "floor": 3}'
  reading 'Kitchen at 47.5 °C, an anomaly' temp-kitchen-1 '{"sensor_type": "temperature", "value": 47.5, "unit": "°C", "floor": 1}'
}
humidity() {
  reading 'Humidity 41 %, floor 2' hum-2-north '{"sensor_type": "humidity", "value": 41, "unit": "%", "floor": 2}'
  reading 'Humidity 44 %, floor 2' hum-2-south '{"sensor_type": "humidity", "value": 44, "unit": "%", "floor": 2}'
  reading 'Humidity 58 %, floor 5' hum-5-north '{"sensor_type": "humidity", "value": 58, "unit": "%", "floor": 5}'
}
energy() {
  reading 'Meter A, 132 kWh' meter-a '{"sensor_type": "energy", "value": 132, "unit": "kWh", "floor": 0}'
  reading 'Meter B, 87500 Wh' meter-b '{"sensor_type": "energy", "value": 87500, "unit": "Wh", "floor": 0}'
}
rapid-fire() {
  local n
  for n in 1 2 3; do
    reading "People in the canteen, reading $n" motion-canteen \
      "{\"sensor_type\": \"motion\", \"event\": \"occupancy\", \"value\": $((40 + n)), \"unit\": \"people\", \"floor\": 1}" "motion-canteen-$n"
  done
}
duplicate() {
  local n
  for n in once 'and once more'; do
    reading "Hall at 20.9 °C, $n" temp-hall '{"sensor_type": "temperature", "value": 20.9, "unit": "°C", "floor": 0}'
  done
}
test-device() {
  reading 'A test device at 21.0 °C' bench-1 '{"sensor_type": "temperature", "value": 21.0, "unit": "°C", "environment": "test"}'
  reading 'A test device at 99.0 °C' bench-2 '{"sensor_type": "temperature", "value": 99.0, "unit": "°C", "environment": "test"}'
}
lifecycle() {
  event 'A new sensor in service' device_lifecycle commissioned '{"device_id": "co2-4-west", "event": "commissioned", "firmware": "2.4.1",
    "aws_role_arn": "arn:aws:iam::000000000000:role/device-provisioning"}'
}
firmware() {
  event 'Firmware without a signature' firmware_update firmware '{"device_id": "co2-4-west", "version": "2.5.0", "signed": false}'
}

# Status reports of the gateway on site: nothing but the limit keeps them from the queue.
send_burst() {
  local n i left=() waiting=()
  for ((n = 1; n <= burst; n++)); do
    dispatch status_report "report-$n" "{\"device_id\": \"site-gateway\", \"report\": $n}"
    say "Status report $n"
    [ "$status" != 429 ] || { left+=("$action"); wait_for=$retry_after; }
  done
  echo "$((burst - ${#left[@]})) of $burst passed, ${#left[@]} throttled"
  for ((i = 0; i < 5 && ${#left[@]} > 0; i++)); do
    echo "Waiting for the $wait_for s of the last Retry-After"
    sleep "$wait_for"
    waiting=("${left[@]}") left=()
    for action in "${waiting[@]}"; do
      again
      say "Status report $(jq -r .payload.report <<<"$action"), again"
      [ "$status" != 429 ] || { left+=("$action"); wait_for=$retry_after; }
    done
  done
  [ ${#left[@]} = 0 ] || { echo "${#left[@]} still throttled" >&2; exit 1; }
}

if [ -n "$burst" ]; then send_burst; else
  for kind in ${only:-$kinds}; do "$kind"; done
  echo "Events sent: $sent, as run $run"
fi
[ "$refused" = 0 ] || { echo "$refused of $sent requests were refused" >&2; exit 1; }

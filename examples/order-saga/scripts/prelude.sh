# Sourced by every script: what they need, where gateway and receiver are, and how to talk to them.
for tool in jq curl; do command -v "$tool" >/dev/null || { echo "$tool is missing: the scripts need jq and curl" >&2; exit 1; }; done

gateway=${SIGNALBOX_URL:-http://127.0.0.1:${PORT:-8080}}
receiver=${RECEIVER_URL:-http://127.0.0.1:9100}

# ask METHOD URL [JSON]: sets $status and $body. Ends the script when nobody answers.
ask() {
  body=$(curl -sS --max-time 90 -X "$1" "$2" -H 'content-type: application/json' ${3+--data-binary "$3"} -w '\n%{http_code}') ||
    { echo "no answer from $2: is it running?" >&2; exit 1; }
  status=${body##*$'\n'} body=${body%$'\n'*}
}
refused() { echo "$1: $status $(jq -r '.detail // .title // .error // .' <<<"$body" 2>/dev/null || echo "$body")" >&2; exit 1; }

# execution ORDER: sets $chain_id to the newest execution of an order.
execution() {
  ask GET "$gateway/v1/chains?chain_name=order&limit=1&attribute=$(jq -rn --arg order "$1" '"order:\($order)" | @uri')"
  [ "$status" = 200 ] || refused "$1"
  chain_id=$(jq -r '.chains[0].chain_id // empty' <<<"$body")
  [ -n "$chain_id" ] || { echo "$1: there is no such order" >&2; exit 1; }
}

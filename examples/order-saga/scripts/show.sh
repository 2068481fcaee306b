#!/usr/bin/env bash
# Where an order is: its execution, step by step, and what the receiver has done for it.
#   show.sh ORDER
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
[ $# = 1 ] || { echo 'usage: show.sh ORDER' >&2; exit 2; }

execution "$1"
ask GET "$gateway/v1/chains/$chain_id"
[ "$status" = 200 ] || refused "$1"
jq -r '
  def pad($n): . + " " * ([1, $n - length] | max);
  ([.status, (.waiting_for // empty | "waiting for \(.)"), (.error // empty | .message)] | join(": ")) + "  (\(.chain_id))",
  (.steps[] | "  \(.name | pad(18)) \(.status | pad(11)) \(
    [(.attempts // 1 | if . > 1 then "\(.) attempts" else empty end),
     (.output.error // empty | .code),
     (.waits_for_signal // empty | "for the signal \(.)"),
     (if .compensated == true then "taken back" elif .compensated == false then "could not be taken back" else empty end)]
    | join(", "))" | sub(" +$"; ""))' <<<"$body"

ask GET "$receiver/_receiver/calls"
[ "$status" = 200 ] || refused receiver
echo 'done, in this order:'
jq -r --arg order "$1" '.calls[] | select(.effect and .payload.order_id == $order) | "  \(.receiver) \(.action_type)"' <<<"$body"

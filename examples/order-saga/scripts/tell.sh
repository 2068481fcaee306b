#!/usr/bin/env bash
# Tells the receiver how to answer from now on, for one order or for all; without arguments it forgets what it was told.
#   tell.sh payment charge 402 [ORDER]     the card is declined
#   tell.sh stock reserve 503              stock is away
#   tell.sh                                all is well again
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
usage() { echo 'usage: tell.sh [RECEIVER ACTION_TYPE STATUS [ORDER]]' >&2; exit 2; }
case $# in
  0) ask DELETE "$receiver/_receiver/answers" ;;
  3 | 4)
    case $3 in [2-5][0-9][0-9]) ;; *) usage ;; esac
    ask POST "$receiver/_receiver/answers" "$(jq -nc --arg receiver "$1" --arg type "$2" --argjson status "$3" --arg order "${4-}" \
      '{receiver: $receiver, action_type: $type, status: $status} + if $order == "" then {} else {where: {order_id: $order}} end')"
    ;;
  *) usage ;;
esac
case $status in 200 | 201) echo "$body" ;; *) refused receiver ;; esac

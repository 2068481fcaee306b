#!/usr/bin/env bash
# The shop says that the parcel of an order is packed.
#   confirm.sh ORDER
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
[ $# = 1 ] || { echo 'usage: confirm.sh ORDER' >&2; exit 2; }

execution "$1"
ask POST "$gateway/v1/chains/$chain_id/signal" "$(jq -nc --arg order "$1" '{signal: "confirmed", payload: {parcel: "parcel of \($order)"}}')"
[ "$status" = 202 ] || refused "$1"
echo "$1: confirmed"

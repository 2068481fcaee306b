#!/usr/bin/env bash
# Cancels an order: what is done of it is undone.
#   cancel.sh ORDER
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
[ $# = 1 ] || { echo 'usage: cancel.sh ORDER' >&2; exit 2; }

execution "$1"
ask POST "$gateway/v1/chains/$chain_id/cancel"
[ "$status" = 202 ] || refused "$1"
echo "$1: is being cancelled"

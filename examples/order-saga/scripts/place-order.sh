#!/usr/bin/env bash
# Places an order, as the shop's checkout would, and says what became of it.
#   place-order.sh ORDER [CUSTOMER [AMOUNT]]
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
case $# in 1 | 2 | 3) ;; *) echo 'usage: place-order.sh ORDER [CUSTOMER [AMOUNT]]' >&2; exit 2 ;; esac

action=$(jq -nc --arg order "$1" --arg customer "${2:-ann}" --argjson amount "${3:-40}" '{
  action_type: "order.placed",
  payload: {
    order_id: $order, customer: $customer, amount: $amount, email: "\($customer)@example.com", card: "4111 1111 1111 1111",
    address: "1 Harbour Road", items: [{sku: "teapot", count: 1}, {sku: "cup", count: 4}]
  }
}')
ask POST "$gateway/v1/dispatch" "$action"
outcome=$(jq -r '.outcome // empty' <<<"$body")
[ -n "$outcome" ] || refused "$1"
echo "$1: $outcome $(jq -r '.chain_id // .first_action_id // .reason // ""' <<<"$body")"

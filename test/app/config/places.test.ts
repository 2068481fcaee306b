import { expect, test } from 'vitest'
import { type Path, readPlaces } from '../../../src/app/config/places.ts'

const TEXT = `top = 1
[server]
  port = 8080
audit.x = { a = 1,
  "b.c" = [ 1,
    2 ],
} # several lines, as the guide writes them
[[providers]]
name = "a"
[providers.rate_limit]
burst = 2
[[providers]]
[circuit_breaker.providers."my.hook"]
failure_threshold = 3
`
const places = readPlaces(TEXT, 'f')
const key = (...path: Path) => `${places.key(path).line}:${places.key(path).column}`
const value = (...path: Path) => `${places.value(path).line}:${places.value(path).column}`

test.each<[Path, string, string]>([
  [['top'], '1:1', '1:7'],
  [['server'], '2:2', '2:2'],
  [['server', 'port'], '3:3', '3:10'],
  [['server', 'audit'], '4:1', '4:1'],
  [['server', 'audit', 'x'], '4:7', '4:11'],
  [['server', 'audit', 'x', 'a'], '4:13', '4:17'],
  [['server', 'audit', 'x', 'b.c'], '5:3', '5:11'],
  [['server', 'audit', 'x', 'b.c', 1], '6:5', '6:5'],
  [['providers', 0], '8:3', '8:3'],
  [['providers', 0, 'name'], '9:1', '9:8'],
  [['providers', 0, 'rate_limit', 'burst'], '11:1', '11:9'],
  [['providers', 1], '12:3', '12:3'],
  [['circuit_breaker'], '13:2', '13:2'],
  [['circuit_breaker', 'providers', 'my.hook'], '13:28', '13:28'],
  [['circuit_breaker', 'providers', 'my.hook', 'failure_threshold'], '14:1', '14:21'],
])('%j', (path, k, v) => expect([key(...path), value(...path)]).toEqual([k, v]))

test('what was not written is answered by the nearest thing above it that was', () => {
  expect(key('server', 'host')).toBe('2:2')
  expect(value('server', 'port', 'deeper')).toBe('3:3')
  expect(key('nowhere', 'at', 'all')).toBe('1:1')
})

test('what a flag wrote, and all below it, goes by the name of the flag', () => {
  const p = readPlaces(TEXT, 'f')
  p.override(['server', 'audit'], '--set server.audit')
  expect(p.key(['server', 'audit', 'x', 'a'])).toEqual({ file: '--set server.audit', line: 0, column: 0 })
  expect(p.key(['server', 'port'])).toEqual({ file: 'f', line: 3, column: 3 })
})

test('text this parser refuses leaves everything at the top', () => {
  expect(readPlaces('[a]\nb = = 1', 'f').key(['a', 'b'])).toEqual({ file: 'f', line: 1, column: 1 })
})

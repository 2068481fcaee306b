import { expect, test } from 'vitest'
import { utf8 } from '../../src/core/utf8.ts'

test.each([
  ['', ''],
  ['\ufeffgrün\r\n\u{1f600}', '\ufeffgrün\r\n\u{1f600}'],
  ['what stands for bytes: \ufffd', 'what stands for bytes: \ufffd'],
])('%j is read as it was written', (text, read) => {
  expect(utf8(Buffer.from(text))).toBe(read)
})

test.each([
  ['Latin-1', Buffer.from('a: 1\nroom: Küche\n', 'latin1'), 2, 8],
  ['UTF-16', Buffer.from('\ufeffrules:', 'utf16le'), 1, 1],
  ['cut off in a character', Buffer.from('grün').subarray(0, 3), 1, 3],
  ['behind what stands for such bytes', Buffer.concat([Buffer.from('\ufffd ü '), Buffer.from([0xff])]), 1, 5],
])('%s is refused at its first byte at fault', (_, raw, line, column) => {
  expect(() => utf8(raw)).toThrow(expect.objectContaining({ line, column }))
})

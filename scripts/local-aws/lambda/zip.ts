/** Unpacks a zip archive (stored and deflated entries) into a folder. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import { AwsError } from '../wire.ts'

const END = 0x06054b50
const ENTRY = 0x02014b50
const MAX_UNZIPPED = 262_144_000

const unreadable = (why: string): AwsError =>
  new AwsError(
    'InvalidParameterValueException',
    `Could not unzip uploaded file. Please check your file, then try to upload again. (${why})`,
  )

interface Entry {
  name: string
  executable: boolean
  read(): Buffer
}

const entries = (zip: Buffer): Entry[] => {
  let end = zip.length - 22
  while (end >= 0 && zip.readUInt32LE(end) !== END) end--
  if (end < 0) throw unreadable('no end of central directory')
  const found: Entry[] = []
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== ENTRY) throw unreadable('bad central directory')
    const method = zip.readUInt16LE(at + 10)
    const packed = zip.readUInt32LE(at + 20)
    const lengths = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset))
    const [nameLength = 0] = lengths
    const mode = zip.readUInt32LE(at + 38) >>> 16
    const local = zip.readUInt32LE(at + 42)
    found.push({
      name: zip.toString('utf8', at + 46, at + 46 + nameLength),
      executable: (mode & 0o111) !== 0,
      read: () => {
        const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
        const data = zip.subarray(start, start + packed)
        if (method === 0) return data
        if (method === 8) return inflateRawSync(data, { maxOutputLength: MAX_UNZIPPED })
        throw unreadable(`compression method ${method}`)
      },
    })
    at += 46 + lengths.reduce((sum, length) => sum + length, 0)
  }
  return found
}

export const unzip = async (zip: Buffer, folder: string): Promise<void> => {
  try {
    for (const { name, executable, read } of entries(zip)) {
      const path = join(folder, name)
      if (!path.startsWith(folder + sep)) throw unreadable(`entry ${name} leaves the folder`)
      if (name.endsWith('/')) {
        await mkdir(path, { recursive: true })
        continue
      }
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, read(), { mode: executable ? 0o755 : 0o644 })
    }
  } catch (error) {
    throw error instanceof AwsError ? error : unreadable(error instanceof Error ? error.message : String(error))
  }
}

/** One server per test file, and clients that know it. */
import { afterAll, beforeAll } from 'vitest'
import { type LocalAws, startLocalAws } from '../../scripts/local-aws/server.ts'

export const client = (region = 'us-east-1') => ({
  region,
  endpoint: url(),
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
})

let local: LocalAws | undefined
export const url = (): string => {
  if (!local) throw new Error('used before the server was up')
  return local.url
}

export const useLocalAws = (): void => {
  beforeAll(async () => {
    local = await startLocalAws({ port: 0 })
  })
  afterAll(() => local?.close())
}

/** An archive of stored entries, as `zip -0` makes one. */
export const zip = (files: Record<string, string>): Buffer => {
  const locals: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content)
    const sizes = Buffer.alloc(8)
    sizes.writeUInt32LE(data.length, 0)
    sizes.writeUInt32LE(data.length, 4)
    const lengths = Buffer.from([Buffer.byteLength(name), 0, 0, 0])
    const entry = Buffer.concat([
      Buffer.from([0x50, 0x4b, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
      sizes,
      lengths,
      Buffer.from(name),
      data,
    ])
    const at = Buffer.alloc(4)
    at.writeUInt32LE(offset)
    central.push(
      Buffer.concat([
        Buffer.from([0x50, 0x4b, 1, 2, 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        sizes,
        lengths,
        Buffer.alloc(6),
        Buffer.alloc(4),
        at,
        Buffer.from(name),
      ]),
    )
    locals.push(entry)
    offset += entry.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(central.length, 8)
  end.writeUInt16LE(central.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, directory, end])
}

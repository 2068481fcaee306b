import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { NOBODY } from './process.ts'

/** A certificate and its key, as files that servers of the tests may read. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}
/** An authority that nobody knows but who is told of it. */
export interface Authority {
  /** Its own certificate. */
  readonly file: string
  /** From now on whoever runs in this thread trusts it, until what is answered is called. */
  trusted(): () => void
  /** For names as openssl has them: `IP:127.0.0.1`, `DNS:localhost`. */
  issue(name: string, altNames: string): Certificate
  remove(): void
}

export function authority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-tls-'))
  chmodSync(folder, 0o755)
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: readonly string[]): void => {
    const { status, stderr, error } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' })
    if (status !== 0) throw new Error(`openssl ${args[0]}: ${error?.message ?? stderr}`)
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=tests')
  return {
    file: path('ca.crt'),
    trusted() {
      const before = tls.getCACertificates('default')
      tls.setDefaultCACertificates([...before, readFileSync(path('ca.crt'), 'utf8')])
      return () => tls.setDefaultCACertificates(before)
    },
    issue(name, altNames) {
      const [cert, key] = [path(`${name}.crt`), path(`${name}.key`)]
      openssl('req', ...newKey, '-keyout', key, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
      writeFileSync(path(`${name}.ext`), `subjectAltName=${altNames}\n`)
      const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1']
      openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-extfile', `${name}.ext`, '-out', cert)
      chmodSync(key, 0o600)
      if (NOBODY) for (const file of [cert, key]) chownSync(file, NOBODY.uid, NOBODY.gid)
      return { cert, key }
    },
    remove: () => rmSync(folder, { recursive: true }),
  }
}

/** What kept the server from its address, in words; `host:port` as configured. */
export function listeningProblem({ host, port }: { readonly host: string; readonly port: number }, e: unknown): string {
  const at = hostPort(host, port)
  const code = e instanceof Error && 'code' in e ? e.code : undefined
  switch (code) {
    case 'EADDRINUSE':
      return `${at} is taken: another process listens there; --port takes another`
    case 'EACCES':
      return `${at} may not be listened on by this user; --port takes another`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${at} is no address of this machine; see server.host`
    default:
      return `cannot listen on ${at}: ${e instanceof Error ? e.message : String(e)}`
  }
}

export const hostPort = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

import { vi } from 'vitest'

/** No credentials, no region, no files of the machine's owner, no metadata service. */
export function bareAws(): void {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE', 'AWS_REGION'])
    vi.stubEnv(name, undefined)
  vi.stubEnv('AWS_ENDPOINT_URL', undefined)
  vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config')
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials')
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
}

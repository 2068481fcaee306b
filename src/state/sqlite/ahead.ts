import { uuidv7Time } from '../../core/ids.ts'
import { openReader } from './schema.ts'

/** So far off is a clock that somebody has set; less is the work of NTP. */
const FAR_MS = 60_000
/** Of so many last records the newest counts: those of a start after the clock was set back lie behind it. */
const LOOKS = 100

/** How far behind what a store file has recorded the time is, where that is more than a minute. Milliseconds. */
export function recordedAhead(path: string, now: number): number | undefined {
  const db = openReader(path)
  try {
    const newest = db.prepare('SELECT max(id) AS id FROM (SELECT id FROM audit ORDER BY seq DESC LIMIT ?)').get(LOOKS)
    const ahead = newest?.['id'] == null ? 0 : uuidv7Time(String(newest['id'])) - now
    return ahead > FAR_MS ? ahead : undefined
  } finally {
    db.close()
  }
}

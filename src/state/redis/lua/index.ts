import { BUFFERS } from './buffers.ts'
import { CLAIM, DEPTHS, LOOK, NEXT_DUE } from './claims.ts'
import { ENTRIES } from './entries.ts'
import { GUARDS, WINDOW } from './guards.ts'
import { OUTBOX } from './outbox.ts'
import { LIST, PEEK, SCOPES } from './reads.ts'
import { FLUSH, ROWS } from './rows.ts'

/**
 * A batch of commits of one tag. ARGV: now, how many expired entries to take away, how many commits, until when by the server's
 * clock (nothing is done later: its callers have been told "unknown" and may have looked), in how many milliseconds what comes into
 * the outbox is due there; for each: scope, 1 when it is dry, its arguments' number, its ops' number, and the ops. Answers of each
 * its results as text, with the ids sealed, or what the op that refused saw; then, if any, the entries in the outbox (entered.ts).
 */
const COMMIT = `
if A[4] ~= '' then
  local time = call('TIME')
  moment = math.max(now, time[1] * 1000 + math.floor(time[2] / 1000))
  if moment > tonumber(A[4]) then return {} end
end
local replies = {}
at = 5
for c = 1, tonumber(A[3]) do
  local scope, dry, size, many = A[at + 1], A[at + 2] == '1', tonumber(A[at + 3]), tonumber(A[at + 4])
  at = at + 4
  local stop = at + size
  local refused, reply
  out, jn = {}, 0
  for o = 1, many do
    local refusal, sealed = ops[take()](scope)
    if refusal then
      refused = {'!' .. (o - 1), refusal.n, refusal.retry, refusal.saw or ''}
      break
    end
    if sealed then
      out[#out] = out[#out] .. ' ' .. #sealed
      reply = reply or {''}
      for _, id in ipairs(sealed) do reply[#reply + 1] = id end
    end
  end
  if refused or dry then back() end
  if refused then replies[c] = refused
  else
    local results = table.concat(out, ',')
    if reply then reply[1] = results end
    replies[c] = reply or results
  end
  at = stop
end
sweep(A[2])
local entered = flushRecords(tonumber(A[5]))
flushEntries()
flushGuards()
flushBuffers()
if entered[1] then replies[#replies + 1] = entered end
return replies
`
const SWEEP = `
local swept = {}
for i, prefix in ipairs(KEYS) do
  P, slots, touched, strays = prefix, {}, {}, {}
  swept[i] = sweep(A[2])
  flushEntries()
end
return swept
`

/** Every script by its name. */
export const scripts = {
  commit: [ROWS, WINDOW, FLUSH, ENTRIES, GUARDS, BUFFERS, OUTBOX, COMMIT].join(''),
  claim: [ROWS, FLUSH, CLAIM].join(''),
  sweep: [ROWS, FLUSH, SWEEP].join(''),
  look: LOOK,
  nextDue: NEXT_DUE,
  depths: DEPTHS,
  list: LIST,
  scopes: SCOPES,
  peek: PEEK.replace('local kinds = {}', `${WINDOW}local kinds = {}`),
} as const
export type ScriptName = keyof typeof scripts

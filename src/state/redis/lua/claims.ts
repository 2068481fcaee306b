import { PAGE_CHARS } from '../../../core/state.ts'

/** What is due, where, and taking it. Scripts that only look take the prefixes of as many tags as lie on the server. */

/** ARGV: now, kind, most scopes of a tag, most entries of a scope. For each tag: scope, how many of it are due, and so on. */
export const LOOK = String.raw`
local due = {}
for i, P in ipairs(KEYS) do
  local found = {}
  local first = redis.call('ZSCORE', P .. 'k', ARGV[2])
  if first and tonumber(first) <= tonumber(ARGV[1]) then
    for _, scope in ipairs(redis.call('ZRANGEBYSCORE', P .. 's' .. ARGV[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
      found[#found + 1] = scope
      found[#found + 1] = redis.call('ZCOUNT', P .. 'd' .. ARGV[2] .. '\n' .. scope, '-inf', ARGV[1])
    end
  end
  due[i] = found
end
return due
`

/** ARGV: now, kind, owner, until, then scope and how many, and so on. For each scope: id, what stands before the value, value, and so on. */
export const CLAIM = String.raw`
local kind, owner, till = A[2], A[3], tonumber(A[4])
local taken, bytes = {}, 0
for i = 5, #A, 2 do
  local scope, list = A[i], {}
  local ids = call('ZRANGEBYSCORE', P .. 'd' .. kind .. '\n' .. scope, '-inf', text(now), 'LIMIT', 0, A[i + 1])
  for _, id in ipairs(ids) do
    if bytes >= ${PAGE_CHARS} then break end
    local s = slot(kind, scope, id)
    local was = s.cur
    if was then
      local value = valueOf(was)
      bytes = bytes + #value
      s.cur = like(was, {due = till, num = nextNumber(), till = till, woken = false, att = was.att + 1, owner = owner})
      -- Written in two, it is not put together, and has room to spare behind it: what is claimed is soon gone or written again.
      s.apart = #value >= HEAD
      list[#list + 1] = id
      list[#list + 1] = headOf(s.cur)
      list[#list + 1] = value
    end
  end
  taken[#taken + 1] = list
end
flushEntries()
return taken
`

/** ARGV: now, kind. The first due time of each tag, or nothing. */
export const NEXT_DUE = `
local first = {}
for i, P in ipairs(KEYS) do first[i] = redis.call('ZSCORE', P .. 'k', ARGV[2]) or '' end
return first
`

/** ARGV: now. For each tag: kind, waiting, due, first, and so on. */
export const DEPTHS = String.raw`
local all = {}
for i, P in ipairs(KEYS) do
  local found = {}
  local kinds = redis.call('ZRANGE', P .. 'k', 0, -1, 'WITHSCORES')
  for k = 1, #kinds, 2 do
    local waiting, due = 0, 0
    for _, scope in ipairs(redis.call('ZRANGE', P .. 's' .. kinds[k], 0, -1)) do
      local key = P .. 'd' .. kinds[k] .. '\n' .. scope
      waiting = waiting + redis.call('ZCARD', key)
      due = due + redis.call('ZCOUNT', key, '-inf', ARGV[1])
    end
    for _, v in ipairs({kinds[k], waiting, due, kinds[k + 1]}) do found[#found + 1] = v end
  end
  all[i] = found
end
return all
`

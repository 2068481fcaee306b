/**
 * ARGV: now, kind, scope, tag with a mark before it or nothing, limit, after with a mark before it or nothing, 1 for descending, most bytes.
 * Answers id, row, and so on, and one more where it ended because of their bytes.
 */
export const LIST = String.raw`
local P, now = KEYS[1], tonumber(ARGV[1])
local ks = ARGV[2] .. '\n' .. ARGV[3]
local key = ARGV[4] == '' and P .. 'i' .. ks or P .. 't' .. ks .. '\n' .. ARGV[4]:sub(2)
local limit, descending = tonumber(ARGV[5]), ARGV[7] == '1'
local found, bytes, most = {}, 0, tonumber(ARGV[8])
local edge = ARGV[6] == '' and (descending and '+' or '-') or '(' .. ARGV[6]:sub(2)
while #found < limit * 2 do
  local ids = descending and redis.call('ZREVRANGEBYLEX', key, edge, '-', 'LIMIT', 0, limit)
    or redis.call('ZRANGEBYLEX', key, edge, '+', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local row = redis.call('GET', P .. 'e' .. ks .. '\n' .. id)
    local exp = row and tonumber(row:match('^%S+ (%S+)'))
    if row and (not exp or exp > now) and #found < limit * 2 then
      if bytes >= most then
        found[#found + 1] = ''
        return found
      end
      found[#found + 1] = id
      found[#found + 1] = row
      bytes = bytes + #row
    end
  end
  if #ids < limit then break end
  edge = '(' .. ids[#ids]
end
return found
`

/** ARGV: kind, after with a mark before it or nothing, limit. For each tag its scopes. */
export const SCOPES = `
local all = {}
for i, P in ipairs(KEYS) do
  local edge = ARGV[2] == '' and '-' or '(' .. ARGV[2]:sub(2)
  all[i] = redis.call('ZRANGEBYLEX', P .. 'S' .. ARGV[1], edge, '+', 'LIMIT', 0, ARGV[3])
end
return all
`

/** ARGV: now, count|admit|buffer, scope, ids. For each: nothing, or what peek makes of it. */
export const PEEK = String.raw`
local P, now, scope = KEYS[1], tonumber(ARGV[1]), ARGV[3]
local function text(n) return string.format('%.17g', n) end
local kinds = {}
function kinds.count(name)
  local n, exp = (redis.call('GET', P .. 'c' .. name) or ''):match('^(%S+) (%S+)$')
  return n and tonumber(exp) > now and {n, exp} or {}
end
function kinds.admit(name)
  local stored = redis.call('GET', P .. 'w' .. name)
  if not stored then return {} end
  local w = cmsgpack.unpack(stored)
  prune(w, now)
  return {text(w.total)}
end
function kinds.buffer(name)
  local stored = redis.call('GET', P .. 'b' .. name)
  local head = stored and cmsgpack.unpack(stored)
  if not head or head.n == 0 then return {} end
  local all, items = {}, redis.call('HGETALL', P .. 'I' .. name)
  for i = 2, #items, 2 do
    local n, piece = items[i]:match('^(%d+) (.*)$')
    all[tonumber(n)] = piece
  end
  return {text(head.n), text(head.bytes), text(head.due), head.json, '[' .. table.concat(all, ',') .. ']'}
end
local found = {}
for i = 4, #ARGV do found[#found + 1] = kinds[ARGV[2]](scope .. '\n' .. ARGV[i]) end
return found
`

/**
 * What every writing script begins with: the entries it looks at, each read once, changed in memory, written once at its end.
 *
 * A script either fails before its first write or writes all: whatever can fail is done before `flush`. A commit that refuses puts
 * back what it changed, from the journal, and has written nothing.
 *
 * KEYS[1] is the prefix of a tag, and every key made from it is in the same slot:
 *   e<kind\nscope\nid>  an entry     i<kind\nscope>  its ids      t<kind\nscope\ntag>  ids with a tag
 *   (one that is kept by its id only is in no other key, and goes by its own expiry)
 *   d<kind\nscope>  due times        s<kind>  the first of each scope      k  the first of each kind
 *   S<kind>  scopes that have entries        x  expiry times
 *   c w o b I  counters, windows, semaphores, buffers and their items      n  the last claim's number
 */
export const ROWS = String.raw`
local call, fmt, A = redis.call, string.format, ARGV
local P, now = KEYS[1], tonumber(ARGV[1])
local NONE = '-'
-- Exactly, and each number once: writing a double costs as much as a small command, and the times of a batch are few.
local whole, texts = fmt('%d', 2 ^ 40) == '1099511627776' and '%d' or '%.0f', {}
local function text(n)
  if not n then return NONE end
  local t = texts[n]
  if not t then
    t = fmt(n % 1 == 0 and n < 2 ^ 53 and n > -2 ^ 53 and whole or '%.17g', n)
    texts[n] = t
  end
  return t
end

-- Numbers, owner, version and tags are ours to read; the value behind them is not. Redis' Lua hashes every byte of every text it makes:
-- what is long stays where it is until somebody asks for it.
local HEAD = 512
local function parse(key, last)
  local s = call('GETRANGE', key, 0, last)
  if s == '' then return false end
  local due, exp, num, till, woken, att, owner, version, tags, at =
    s:match('^(%S+) (%S+) (%S+) (%S+) (%d) (%S+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n()')
  if not at and last >= 0 then return parse(key, -1) end
  return {due = tonumber(due), exp = tonumber(exp), num = tonumber(num), till = tonumber(till), woken = woken == '1',
    att = tonumber(att), owner = owner, version = version, tags = tags, value = #s <= last and s:sub(at), key = key, from = at - 1}
end
local function valueOf(r)
  r.value = r.value or call('GETRANGE', r.key, r.from, -1)
  return r.value
end
local function headOf(r)
  return text(r.due) .. ' ' .. text(r.exp) .. ' ' .. text(r.num) .. ' ' .. text(r.till) .. (r.woken and ' 1 ' or ' 0 ')
    .. text(r.att) .. '\n' .. r.owner .. '\n' .. r.version .. '\n' .. r.tags .. '\n'
end
-- packed: where all of it has been put together already.
local function pack(r) return r.packed or headOf(r) .. valueOf(r) end
-- The same with other numbers or another owner.
local function like(r, more)
  local n = {due = r.due, exp = r.exp, num = r.num, till = r.till, woken = r.woken, att = r.att, owner = r.owner,
    version = r.version, tags = r.tags, value = r.value, key = r.key, from = r.from}
  for k, v in pairs(more) do n[k] = v end
  return n
end

-- The journal: what to put back, last first, when a commit refuses.
local jn, jo, jf, jv = 0, {}, {}, {}
local function set(object, field, value)
  jn = jn + 1
  jo[jn], jf[jn], jv[jn] = object, field, object[field]
  object[field] = value
end
local function undo(fn) jn = jn + 1; jo[jn], jf[jn] = fn, nil end
local function back()
  for i = jn, 1, -1 do
    local field = jf[i]
    if field == nil then jo[i]() else jo[i][field] = jv[i] end
  end
  jn = 0
end

local slots, touched = {}, {}
local function slot(kind, scope, id, byId)
  local ks = kind .. '\n' .. scope
  local key = ks .. '\n' .. id
  local s = slots[key]
  if not s then
    local row = parse(P .. 'e' .. key, HEAD - 1)
    s = {key = key, ks = ks, kind = kind, scope = scope, id = id, was = row, cur = row, byId = byId}
    slots[key] = s
    touched[#touched + 1] = s
  end
  return s
end
local function live(s)
  local r = s.cur
  return r and (not r.exp or r.exp > now) and r
end

-- Never reused, also where the last moments before a crash are lost: it goes with the clock.
local number
local function nextNumber()
  number = math.max((number or tonumber(call('GET', P .. 'n') or 0)) + 1, now * 1000)
  return number
end
`

/** What the script has changed, in as few commands as there are keys. Before it, nothing is written; in it, nothing can refuse but a full server, at the first. */
export const FLUSH = String.raw`
local MANY = 1000
local function each(command, key, list)
  for i = 1, #list, MANY do
    if key then call(command, key, unpack(list, i, math.min(i + MANY - 1, #list)))
    else call(command, unpack(list, i, math.min(i + MANY - 1, #list))) end
  end
end
local function into(map, key)
  local list = map[key]
  if not list then list = {}; map[key] = list end
  return list
end
local function drop(map, key, member) local l = into(map, key); l[#l + 1] = member end
local function add(map, key, score, member) local l = into(map, key); l[#l + 1] = score; l[#l + 1] = member end

local function retag(adds, drops, s, before, after)
  for tag in before:gmatch('([^\t]*)\t') do
    if not ('\t' .. after):find('\t' .. tag .. '\t', 1, true) then drop(drops, P .. 't' .. s.ks .. '\n' .. tag, s.id) end
  end
  for tag in after:gmatch('([^\t]*)\t') do
    if not ('\t' .. before):find('\t' .. tag .. '\t', 1, true) then add(adds, P .. 't' .. s.ks .. '\n' .. tag, 0, s.id) end
  end
end

local LATE, LONGEST = 60000, 1e15
-- Outlives what it says by a minute: who decides that it is over is the reader, by the caller's clock.
local function keep(key, value, over)
  local ms = math.max(over - now, 0) + LATE
  if not (ms < LONGEST) then ms = LONGEST end
  call('SET', key, value, 'PX', fmt('%.0f', ms))
end

local strays = {}
local function flushEntries()
  local sets, apart, gone, adds, drops, ids, dues = {}, {}, {}, {}, {}, {}, {}
  for i = 1, #strays do drop(drops, P .. 'x', strays[i]) end
  for i = 1, #touched do
    local s = touched[i]
    local was, cur = s.was, s.cur
    if was ~= cur and s.byId then
      local key = P .. 'e' .. s.key
      if not cur then gone[#gone + 1] = key
      elseif cur.exp then keep(key, pack(cur), cur.exp)
      else sets[#sets + 1] = key; sets[#sets + 1] = pack(cur) end
      s.was = cur
    elseif was ~= cur then
      if cur then
        if s.apart then apart[#apart + 1] = s
        else
          sets[#sets + 1] = P .. 'e' .. s.key
          sets[#sets + 1] = pack(cur)
        end
        if not was then add(adds, P .. 'i' .. s.ks, 0, s.id); ids[s.ks] = s end
      else
        gone[#gone + 1] = P .. 'e' .. s.key
        drop(drops, P .. 'i' .. s.ks, s.id)
        ids[s.ks] = s
      end
      local due, exp, tags = cur and cur.due, cur and cur.exp, cur and cur.tags or ''
      if (due or nil) ~= (was and was.due or nil) then
        if due then add(adds, P .. 'd' .. s.ks, text(due), s.id) else drop(drops, P .. 'd' .. s.ks, s.id) end
        dues[s.ks] = s
      end
      if (exp or nil) ~= (was and was.exp or nil) then
        if exp then add(adds, P .. 'x', text(exp), s.key) else drop(drops, P .. 'x', s.key) end
      end
      if tags ~= (was and was.tags or '') then retag(adds, drops, s, was and was.tags or '', tags) end
      s.was = cur
    end
  end
  each('MSET', nil, sets)
  for i = 1, #apart do
    local key, cur = P .. 'e' .. apart[i].key, apart[i].cur
    call('SET', key, headOf(cur))
    call('APPEND', key, valueOf(cur))
  end
  for key, list in pairs(adds) do each('ZADD', key, list) end
  each('DEL', nil, gone)
  for key, list in pairs(drops) do each('ZREM', key, list) end
  for ks, s in pairs(ids) do
    if call('EXISTS', P .. 'i' .. ks) == 1 then call('ZADD', P .. 'S' .. s.kind, 0, s.scope)
    else call('ZREM', P .. 'S' .. s.kind, s.scope) end
  end
  local kinds = {}
  for ks, s in pairs(dues) do
    kinds[s.kind] = true
    local first = call('ZRANGE', P .. 'd' .. ks, 0, 0, 'WITHSCORES')
    if first[2] then call('ZADD', P .. 's' .. s.kind, first[2], s.scope) else call('ZREM', P .. 's' .. s.kind, s.scope) end
  end
  for kind in pairs(kinds) do
    local first = call('ZRANGE', P .. 's' .. kind, 0, 0, 'WITHSCORES')
    if first[2] then call('ZADD', P .. 'k', first[2], kind) else call('ZREM', P .. 'k', kind) end
  end
  if number then call('SET', P .. 'n', fmt('%.0f', number)) end
end

-- What has expired was absent to everybody; here it goes, a bite at a time. Whose time does not stand here any more is forgotten here;
-- what this script itself has put or deleted has its time with that.
local function sweep(limit)
  local over = call('ZRANGEBYSCORE', P .. 'x', '-inf', text(now), 'LIMIT', 0, limit)
  for i = 1, #over do
    local kind, scope, id = over[i]:match('^([^\n]*)\n([^\n]*)\n(.*)$')
    local s = slot(kind, scope, id)
    if s.cur and not live(s) then s.cur = false
    elseif s.cur == s.was then strays[#strays + 1] = s.key end
  end
  return #over
end
`

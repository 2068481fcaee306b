/**
 * append and seal. An item comes as a piece of JSON made by the caller, so that what is sealed is put together from pieces and
 * nothing is written or read as JSON in here.
 */
export const BUFFERS = String.raw`
local EMPTY = {seal = 0, n = 0, bytes = 0, interval = 0}
local REMEMBER = 7 * 86400000
local buffers = {}
local function buffer(scope, id)
  local name = scope .. '\n' .. id
  local b = buffers[name]
  if not b then
    local stored = call('GET', P .. 'b' .. name)
    local head = stored and cmsgpack.unpack(stored) or EMPTY
    b = {key = P .. 'b' .. name, items = P .. 'I' .. name, was = head, head = head, emptied = head.n == 0, wiped = false,
      added = {}, ids = {}}
    buffers[name] = b
  end
  return b
end
local function has(b, item) return b.ids[item] or (not b.emptied and call('HEXISTS', b.items, item) == 1) end

-- The pieces in the order they came.
local function pieces(stored, added)
  local all = {}
  for i = 2, #stored, 2 do
    local n, piece = stored[i]:match('^(%d+) (.*)$')
    all[tonumber(n)] = piece
  end
  for i = 1, #added, 3 do all[added[i + 1]] = added[i + 2] end
  return all
end

local function close(b, scope, id, jid, into, due)
  local head = b.head
  local n = head.seal + 1
  local s = slot(into.kind, scope, into.prefix .. text(n))
  -- Only a buffer that was forgotten can begin again at 1; what it sealed before is never overwritten.
  while live(s) do n = n + 1; s = slot(into.kind, scope, into.prefix .. text(n)) end
  local all = pieces(b.emptied and {} or call('HGETALL', b.items), b.added)
  set(s, 'cur', {due = due or now, woken = false, att = 0, owner = '', version = 'sealed:' .. id .. ':' .. text(n) .. '@' .. text(now),
    tags = into.tags, value = '{"buffer":' .. jid .. ',"value":' .. head.json .. ',"seal":' .. text(n) .. ',"sealed_at":'
      .. text(now) .. ',"items":[' .. table.concat(all, ',') .. ']}'})
  set(b, 'head', {seal = n, at = now, n = 0, bytes = 0, interval = head.interval})
  set(b, 'emptied', true)
  set(b, 'wiped', true)
  set(b, 'added', {})
  set(b, 'ids', {})
  set(slot('buffer', scope, id), 'cur', false)
  return s.id
end

function ops.b(scope)
  local id, jid, item, piece, bytes, value, json = A[at + 1], A[at + 2], A[at + 3], A[at + 4], tonumber(A[at + 5]), A[at + 6], A[at + 7]
  at = at + 7
  local maxItems, maxBytes, wait, interval = tonumber(A[at + 1]), tonumber(A[at + 2]), tonumber(A[at + 3]), tonumber(A[at + 4])
  at = at + 4
  local into = {kind = A[at + 1], prefix = A[at + 2], tags = A[at + 3]}
  at = at + 3
  local b = buffer(scope, id)
  if b.head.n > 0 and has(b, item) then return done('b' .. text(b.head.n) .. ' ' .. text(b.head.due) .. ' 1') end
  local sealed = {}
  if b.head.n > 0 and (b.head.n + 1 > maxItems or b.head.bytes + bytes > maxBytes) then
    sealed[1] = close(b, scope, id, jid, into)
  end
  local head = b.head
  local opens = head.n == 0
  local due = opens and math.max(now + wait, head.at and head.at + interval or 0) or head.due
  head = {seal = head.seal, at = head.at, n = head.n + 1, bytes = head.bytes + bytes, interval = interval, due = due,
    json = opens and json or head.json}
  set(b, 'head', head)
  local added, ids, size = b.added, b.ids, #b.added
  added[size + 1], added[size + 2], added[size + 3] = item, head.n, piece
  ids[item] = true
  undo(function() added[size + 1], added[size + 2], added[size + 3], ids[item] = nil, nil, nil, nil end)
  if opens then
    set(slot('buffer', scope, id), 'cur', {due = due, woken = false, att = 0, owner = '', tags = '', value = value,
      version = text(head.seal + 1) .. '@' .. text(now)})
  end
  local full = head.n >= maxItems or head.bytes >= maxBytes
  if full then sealed[#sealed + 1] = close(b, scope, id, jid, into) end
  done('b' .. text(head.n) .. ' ' .. text(full and now or due) .. ' 0')
  return nil, sealed
end

function ops.z(scope)
  local id, jid, ifDue, due = A[at + 1], A[at + 2], A[at + 3] == '1', tonumber(A[at + 4])
  at = at + 4
  local into = {kind = A[at + 1], prefix = A[at + 2], tags = A[at + 3]}
  at = at + 3
  local b = buffer(scope, id)
  local head = b.head
  if head.n == 0 or (ifDue and (head.due or 0) > now) then return done('s') end
  local sealed = {close(b, scope, id, jid, into, due)}
  done('z' .. text(head.n))
  return nil, sealed
end

local function flushBuffers()
  for _, b in pairs(buffers) do
    if b.head ~= b.was then
      if b.head.n > 0 then call('SET', b.key, cmsgpack.pack(b.head))
      else keep(b.key, cmsgpack.pack(b.head), b.head.at + math.max(REMEMBER, b.head.interval)) end
      if b.wiped then call('DEL', b.items) end
      local fields = {}
      for i = 1, #b.added, 3 do
        fields[#fields + 1] = b.added[i]
        fields[#fields + 1] = text(b.added[i + 1]) .. ' ' .. b.added[i + 2]
      end
      each('HSET', b.items, fields)
    end
  end
end
`

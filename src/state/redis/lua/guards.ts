/** count, admit and slot; a window is kept as in SQLite's: (stamp, how many), and both kinds of stamp mix. */
export const WINDOW = `
local function prune(w, moment)
  local gone = 0
  while gone < #w.at and w.at[gone + 1] + w.ms <= moment do gone = gone + 1; w.total = w.total - w.n[gone] end
  if gone == 0 then return end
  local left, n = {}, {}
  for i = gone + 1, #w.at do left[i - gone], n[i - gone] = w.at[i], w.n[i] end
  w.at, w.n = left, n
end
`
export const GUARDS = String.raw`
local counters, windows, semaphores = {}, {}, {}

function ops.c(scope)
  local key, by, limit, exp = P .. 'c' .. scope .. '\n' .. A[at + 1], tonumber(A[at + 2]), tonumber(A[at + 3]), tonumber(A[at + 4])
  at = at + 4
  local c = counters[key]
  if not c then
    local n, over = (call('GET', key) or ''):match('^(%S+) (%S+)$')
    c = {n = tonumber(n), exp = tonumber(over)}
    counters[key] = c
  end
  local counting = c.exp and c.exp > now
  local was = counting and c.n or 0
  local n = was + by
  if limit and n > limit then return {n = text(was), retry = ''} end
  if by ~= 0 then
    set(c, 'n', n)
    if not counting then set(c, 'exp', exp) end
    set(c, 'dirty', true)
  end
  done('n' .. text(n))
end

-- An admission is stamped with the moment it is decided, which is later than what the caller's clock said when it asked. All else goes by
-- that, as callers have made their times of it.
local moment = now
local EXACT, SLOTS = 100, 100
local function retryAt(w, max)
  if w.total < max then return nil end
  local leave = w.total - max + 1
  for i = 1, #w.at do
    leave = leave - w.n[i]
    if leave <= 0 then return w.at[i] + w.ms end
  end
  return moment + w.ms
end
local function admit(w, max)
  local stamp = max <= EXACT and moment or math.ceil((math.floor(moment * SLOTS / w.ms) + 1) * w.ms / SLOTS)
  local i = #w.at
  while i > 0 and w.at[i] > stamp do i = i - 1 end
  if i > 0 and w.at[i] == stamp then w.n[i] = w.n[i] + 1
  else
    table.insert(w.at, i + 1, stamp)
    table.insert(w.n, i + 1, 1)
  end
  w.total, w.added = w.total + 1, w.added + 1
  return stamp
end
local function takeBack(w, stamp)
  w.total, w.added = w.total - 1, w.added - 1
  for i = #w.at, 1, -1 do
    if w.at[i] == stamp then
      w.n[i] = w.n[i] - 1
      if w.n[i] == 0 then table.remove(w.at, i); table.remove(w.n, i) end
      return
    end
  end
end

function ops.a(scope)
  local key, max, ms = P .. 'w' .. scope .. '\n' .. A[at + 1], tonumber(A[at + 2]), tonumber(A[at + 3])
  at = at + 3
  local w = windows[key]
  if not w then
    local stored = call('GET', key)
    w = stored and cmsgpack.unpack(stored) or {at = {}, n = {}, total = 0}
    w.added = 0
    windows[key] = w
  end
  w.ms = ms
  prune(w, moment)
  local again = retryAt(w, max)
  if again then return {n = text(w.total), retry = text(again)} end
  local stamp = admit(w, max)
  undo(function() takeBack(w, stamp) end)
  done('n' .. text(w.total))
end

function ops.o(scope)
  local key, holder, max, till = P .. 'o' .. scope .. '\n' .. A[at + 1], A[at + 2], tonumber(A[at + 3]), tonumber(A[at + 4])
  at = at + 4
  local s = semaphores[key]
  if not s then
    local stored = call('GET', key)
    s = {list = stored and cmsgpack.unpack(stored) or {}}
    semaphores[key] = s
  end
  local others, held = {}, false
  for _, h in ipairs(s.list) do
    if h[1] == holder then held = true
    elseif h[2] > now then others[#others + 1] = h end
  end
  if till <= now then
    if held then set(s, 'list', others); set(s, 'dirty', true) end
    return done('n' .. text(#others))
  end
  if #others >= max then
    local ends = {}
    for i, h in ipairs(others) do ends[i] = h[2] end
    table.sort(ends)
    local free = ends[#others - math.max(max, 1) + 1]
    return {n = text(#others), retry = free and text(free) or ''}
  end
  others[#others + 1] = {holder, till}
  set(s, 'list', others)
  set(s, 'dirty', true)
  done('n' .. text(#others))
end

local function flushGuards()
  for key, c in pairs(counters) do
    if c.dirty then keep(key, text(c.n) .. ' ' .. text(c.exp), c.exp) end
  end
  for key, w in pairs(windows) do
    if w.added > 0 then
      w.added = nil
      keep(key, cmsgpack.pack(w), w.at[#w.at] + w.ms)
    end
  end
  for key, s in pairs(semaphores) do
    if s.dirty then
      local last = 0
      for _, h in ipairs(s.list) do last = math.max(last, h[2]) end
      if #s.list == 0 then call('DEL', key) else keep(key, cmsgpack.pack(s.list), last) end
    end
  end
end
`

/** put, touch, delete and wake. Arguments come flat, by the bits of a mask (see ops.ts of the folder above). */
export const ENTRIES = `
local at = 0
local function take() at = at + 1; return A[at] end
local out
local function done(what) out[#out + 1] = what end
local band = bit.band

local function claimedBy(r, owner, num) return r and r.num and r.num == num and r.owner == owner end
local function claimed(r) return r and r.num and r.till > now end

-- Reads the conditions of a put or a delete, and says whether they hold of the row.
local function conditions(mask, r)
  local holds = true
  if band(mask, 1) ~= 0 then
    local version = take()
    holds = r and r.version == version
  elseif band(mask, 2) ~= 0 then holds = not r end
  if band(mask, 4) ~= 0 then
    local owner, num = A[at + 1], tonumber(A[at + 2])
    at = at + 2
    holds = holds and claimedBy(r, owner, num)
    return holds and not (band(mask, 8) ~= 0 and claimed(r)), num
  end
  return holds and not (band(mask, 8) ~= 0 and claimed(r))
end
local function refuse(r) return {n = '', retry = '', saw = r and pack(r)} end

local ops = {}
function ops.p(scope)
  local kind, id, value, version, mask = A[at + 1], A[at + 2], A[at + 3], A[at + 4], tonumber(A[at + 5])
  at = at + 5
  local s = slot(kind, scope, id, band(mask, 1024) ~= 0)
  local was = live(s)
  local holds, num = conditions(mask, was)
  if not holds and band(mask, 16) == 0 then return refuse(was) end
  local tags, owner, till, due, exp, att = '', '', nil, nil, nil, was and was.att or 0
  if band(mask, 32) ~= 0 then tags = take() end
  if band(mask, 64) ~= 0 then owner, till = take(), tonumber(take()) end
  if band(mask, 128) ~= 0 then due = tonumber(take()) end
  if band(mask, 256) ~= 0 then exp = tonumber(take()) end
  if band(mask, 512) ~= 0 then att = tonumber(take()) end
  if not holds then return done('s') end
  local woken = was and was.woken
  if till then
    due, woken = till, woken and num ~= nil
    num = num or nextNumber()
  else
    -- What has ended stays ended, also when it was woken.
    if woken and (due or not exp) then due = math.min(due or now, now) end
    num, woken = nil, false
  end
  if due then exp = nil end
  set(s, 'cur', {due = due, exp = exp, num = num, till = till, woken = woken, att = att, owner = owner, version = version,
    tags = tags, value = value})
  done(num and 'c' .. text(num) or '.')
end

function ops.t(scope)
  local kind, id, owner, num, mode, time = A[at + 1], A[at + 2], A[at + 3], tonumber(A[at + 4]), A[at + 5], tonumber(A[at + 6])
  at = at + 6
  local s = slot(kind, scope, id)
  local was = live(s)
  if not claimedBy(was, owner, num) then return refuse(was) end
  if mode == 'd' then
    local r = like(was, {due = was.woken and math.min(time, now) or time, woken = false, owner = ''})
    r.num, r.till = nil, nil
    set(s, 'cur', r)
  elseif mode == 'u' then set(s, 'cur', like(was, {due = time, till = time})) end
  done('.')
end

function ops.d(scope)
  local kind, id, mask = A[at + 1], A[at + 2], tonumber(A[at + 3])
  at = at + 3
  local s = slot(kind, scope, id, band(mask, 1024) ~= 0)
  local was = live(s)
  if not conditions(mask, was) then
    if band(mask, 16) == 0 then return refuse(was) end
    return done('s')
  end
  if not was then return done('s') end
  set(s, 'cur', false)
  done('.')
end

function ops.w(scope)
  local kind, id = A[at + 1], A[at + 2]
  at = at + 2
  local s = slot(kind, scope, id)
  local was = live(s)
  if not was or was.exp then return done('s') end
  set(s, 'cur', like(was, {woken = was.num ~= nil, due = claimed(was) and was.due or math.min(was.due or now, now)}))
  done('.')
end
`

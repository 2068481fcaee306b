import { kinds } from '../../../core/hold.ts'

/**
 * record. The records of all commits of a script wait together, in entries of so many and so many bytes at most. An entry takes its
 * id from its first record; where that one stands there in other company, as after a reply that was lost, it gets another, and the
 * audit has the record once all the same.
 */
export const OUTBOX = `
local records = {}
function ops.r(scope)
  local list, id, row = into(records, scope), A[at + 1], A[at + 2]
  at = at + 2
  done('.')
  if list[id] then return end
  -- By its number and by its name.
  local n = #list + 1
  list[n], list[n + 1], list[id] = id, row, true
  undo(function() list[n], list[n + 1], list[id] = nil, nil, nil end)
end

local MANY_RECORDS, MANY_BYTES = 100, 65536
-- Answers of each entry its scope, its id, and how many records; without an id, what stood there already.
local function flushRecords(wait)
  local entered = {}
  for scope, list in pairs(records) do
    local i = 1
    while i <= #list do
      local first, rows, bytes = list[i], {}, 0
      while i <= #list and #rows < MANY_RECORDS and (bytes == 0 or bytes + #list[i + 1] <= MANY_BYTES) do
        rows[#rows + 1] = list[i + 1]
        bytes = bytes + #list[i + 1]
        i = i + 2
      end
      local id, again = first, 0
      local s = slot('${kinds.auditOutbox}', scope, id)
      local value = s.cur and '[' .. table.concat(rows, ',') .. ']'
      while s.cur and valueOf(s.cur) ~= value do
        again = again + 1
        id = first .. '+' .. again
        s = slot('${kinds.auditOutbox}', scope, id)
      end
      local stood = s.cur
      if not stood then
        s.cur = {due = now + wait, woken = false, att = 0, owner = '', version = id, tags = ''}
        rows[1] = headOf(s.cur) .. '[' .. rows[1]
        rows[#rows] = rows[#rows] .. ']'
        s.cur.packed = table.concat(rows, ',')
      end
      local n = #entered
      entered[n + 1], entered[n + 2], entered[n + 3] = scope, stood and '' or id, #rows
    end
  end
  return entered
end
`

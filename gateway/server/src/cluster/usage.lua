-- Says what this node has used, and returns what others have used since it last heard.
-- KEYS: the number of the last change, the changes, when this Redis began. ARGV: the beginning of the keys of tenants, the
-- node, the number that was heard last, how many tenants are told at most, then for each tenant: its name, how many
-- quotas follow, and for each its name, the beginning of its period, when it was last reset, and what was used.
local function later(a, b)
  for i = 1, 3 do
    if a[i] ~= b[i] then
      return a[i] > b[i]
    end
  end
  return false
end
local function numbers(text)
  local starts, reset, used = string.match(text or '', '^(%-?%d+) (%-?%d+) (%d+)$')
  return starts and { tonumber(starts), tonumber(reset), tonumber(used) }
end
-- Nobody has exchanged anything with this Redis yet: there is nothing to tell whether it is a new one.
local born = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+) ') or ''
local prefix, me, heard, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local told, order = {}, {}
local at = 5
while ARGV[at] do
  local tenant, quotas = ARGV[at], tonumber(ARGV[at + 1])
  local key, changed = prefix .. tenant, false
  at = at + 2
  for _ = 1, quotas do
    local field, text = me .. ' ' .. ARGV[at], ARGV[at + 1]
    at = at + 2
    local known = numbers(redis.call('HGET', key, field))
    if not known or later(numbers(text), known) then
      redis.call('HSET', key, field, text)
      changed = true
    end
  end
  if changed then
    redis.call('PEXPIRE', key, 3456000000)
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[1]), tenant)
  end
  told[tenant] = true
  order[#order + 1] = tenant
end
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local changes = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. heard, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #changes, 2 do
  if not told[changes[i]] then
    order[#order + 1] = changes[i]
  end
  last = tonumber(changes[i + 1])
end
local answers = {}
for _, tenant in ipairs(order) do
  local rows = redis.call('HGETALL', prefix .. tenant)
  answers[#answers + 1] = { tenant, rows }
end
return { last, born, answers }

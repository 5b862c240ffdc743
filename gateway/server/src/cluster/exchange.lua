-- What one node tells and asks, in one step.
-- KEYS: the nodes, since when this Redis has been in use and when it last was, the index of what is divided by demand, then one for each thing that is divided.
-- ARGV: the node, its lease in ms, how long something stays in the index in ms, after which pause in ms a Redis begins anew,
-- then seven for each thing: its name, units
-- that there are, units asked for, units in use, demand, whether it is to be divided by demand, whether the node leaves it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me = ARGV[1]
local born, last = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+) (%d+)$')
if not born or math.abs(now - last) > tonumber(ARGV[4]) then
  born = string.format('%.0f', now)
end
redis.call('SET', KEYS[2], born .. ' ' .. string.format('%.0f', now))
local lease = redis.call('ZSCORE', KEYS[1], me)
local known = lease and tonumber(lease) > now
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], me)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local nodes = redis.call('ZRANGE', KEYS[1], 0, -1)
local live = {}
for _, node in ipairs(nodes) do
  live[node] = true
end
local granted = {}
local at = 4
for i = 4, #KEYS do
  local name, capacity, asked, in_use = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local demand, divide, leave = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  at = at + 7
  local held, claims = {}, {}
  local rows = redis.call('HGETALL', KEYS[i])
  for j = 1, #rows, 2 do
    local node, claim = rows[j], rows[j + 1]
    if not live[node] then
      redis.call('HDEL', KEYS[i], node)
    elseif node ~= me then
      -- A claim that nobody can read counts as all there is.
      held[node] = tonumber(string.match(claim, '^(%d+) ')) or capacity
      claims[#claims + 1] = node
      claims[#claims + 1] = claim
    end
  end
  -- A node that says nothing holds an equal part.
  local left, equal = capacity, math.floor(capacity / #nodes)
  for _, node in ipairs(nodes) do
    if node ~= me then
      left = left - (held[node] or equal)
    end
  end
  local units = math.max(math.min(asked, math.max(left, 0)), in_use)
  if leave == '1' then
    redis.call('HDEL', KEYS[i], me)
  else
    redis.call('HSET', KEYS[i], me, string.format('%d', units) .. ' ' .. demand)
    redis.call('PEXPIRE', KEYS[i], 60000)
  end
  if divide == '1' then
    redis.call('ZADD', KEYS[3], now + ARGV[3], name)
  end
  granted[#granted + 1] = { units, claims }
end
return { now, tonumber(born), known and 1 or 0, nodes, redis.call('ZREVRANGE', KEYS[3], 0, 1999), granted }

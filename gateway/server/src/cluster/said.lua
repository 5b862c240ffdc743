-- Says something about a topic, and returns what everybody says about it.
-- KEYS: the topic. ARGV: the node, for how long it counts in ms, the text.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. string.format('%.0f', now + ARGV[2]) .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], 600000)
local said = {}
local rows = redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local since, ends, text = string.match(rows[i + 1], '^(%d+) (%d+) (.*)$')
  if ends and tonumber(ends) > now then
    said[#said + 1] = { rows[i], now - since, text }
  else
    redis.call('HDEL', KEYS[1], rows[i])
  end
end
return said

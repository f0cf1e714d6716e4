#!lua
--
-- Zones with counts that may be gone: nobody renewed them for their time.
--
-- KEYS: goim:online:zones, goim:nodes:seen
-- ARGV: ttl (ms), how many names at most
-- Answer: their names
-- Errors: WRONGTYPE, until somebody registers or tells counts
--
-- use: now

local names = redis.call('SMEMBERS', KEYS[1])
local due, before = {}, now() - ARGV[1]

for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    local seen = redis.call('ZMSCORE', KEYS[2], unpack(names, first, last))
    for i = first, last do
        local ms = tonumber(seen[i - first + 1] or '')
        if #due < tonumber(ARGV[2]) and (not ms or ms < before) then
            due[#due + 1] = names[i]
        end
    end
end

return due

#!lua flags=allow-oom
--
-- How history is kept: read, and written by who has just started or where it
-- is missing. The number of partitions only grows.
--
-- KEYS: goim:history
-- ARGV: 1 by who has just started, else 0; [history] as text, a random word,
--       bus epoch, 1 when epochs belong to Redis's life, else 0; number of
--       partitions
-- Answer: { [history] as text, `of`, number of partitions, bus epoch as it
--         was given }
-- Errors: none of its own
--
-- `of` is "<bus epoch> <partitions> <stamp>". The stamp is another one with
-- each change of the text; "0": nothing is kept, and never was, so whoever
-- keeps something may say so. Without the key nobody knows.
--
-- use: fit

local key, start = KEYS[1], ARGV[1] == '1'
local text, word, bus, lived, n = unpack(ARGV, 2, 6)

fit(key, 'hash')
local was = redis.call('HMGET', key, 'text', 'stamp', 'bus', 'partitions',
                       'of')

if not was[1] or (was[2] == '0' and text ~= '') then
    start = true
end

local stamp, parts, told = was[2], was[4], bus

if start and text ~= was[1] then
    stamp = (was[1] or text ~= '') and word or '0'
elseif not start then
    text = was[1]
end

if bus == was[3] then
    if tonumber(parts or 0) > tonumber(n) then n = parts end
elseif not start then
    bus, n = was[3], parts
    lived = redis.call('HGET', key, 'lived')
end

local of = bus .. ' ' .. n .. ' ' .. stamp

if of ~= was[5] then
    redis.call('HSET', key, 'text', text, 'stamp', stamp, 'bus', bus,
               'partitions', n, 'lived', lived, 'of', of)
end

return { text, of, n, told }

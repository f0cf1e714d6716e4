#!lua flags=allow-oom
--
-- Items of a room's history, by their numbers.
--
-- KEYS: goim:life, goim:history, goim:{<n>}:done, goim:{<n>}:meta:<room>,
--       goim:{<n>}:items:<room>, goim:{<n>}:rooms, goim:{<n>}:judged
-- ARGV: life of the connection, what goim:history has as `of`, room, the
--       epoch asked for or '' for any, what: 'after', 'before' or 'last', a
--       number, how many items at most, how many bytes (or one item), a
--       random word, how many bytes an item may have
-- Answer: { what it is, epoch, the oldest number kept, the newest one, then
--         number and packed goim.Record of each item }. It is 'OK'; 'CANNOT':
--         another epoch, or some of what was asked for is not kept; 'LATER':
--         after more than the newest; 'BROKEN': 'OK', or 'CANNOT' when it is
--         after a number, but that items in between are missing or none: the
--         oldest number is that behind them. Or 'HISTORY' when goim:history
--         has another `of`; 'UNSAID': the room would begin, and the job that
--         has its partition has not said that it goes by this `of`
-- Errors: LIFE
--
-- 'after' a number: those that follow it, without a gap; 'before': the newest
-- that precede it; 'last': the newest so many. A room that has no epoch, or
-- one that belongs to something else, begins here; kept for a day.
--
-- use: life belongs since now place

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end
local of = belongs(KEYS[2], ARGV[2], ARGV[1])
if not of then return 'HISTORY' end
of = since(KEYS[3], of)

local meta, items = KEYS[4], KEYS[5]
local room, want, what = ARGV[3], ARGV[4], ARGV[5]
local n, limit, bytes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local most, DAY = tonumber(ARGV[10]), 86400000

local m = redis.pcall('HMGET', meta, 'epoch', 'seq', 'of')
local epoch, head = m[1], tonumber(m[2] or '')

if m.err or m[3] ~= of or not epoch or not head then
    if redis.pcall('HGET', KEYS[7], 'of') ~= ARGV[2] then return 'UNSAID' end
    local done = redis.pcall('HGET', KEYS[3], string.match(of, '^%S+'))
    local ms = now()
    epoch, head = ARGV[9], 0
    redis.call('DEL', meta, items)
    redis.call('HSET', meta, 'epoch', epoch, 'seq', 0,
               'last', place(done) and done or '', 'of', of,
               'until', ms - 29 * DAY)
    if type(redis.pcall('ZADD', KEYS[6], 'NX', ms + DAY, room)) == 'table' then
        redis.call('DEL', KEYS[6])
        redis.call('ZADD', KEYS[6], ms + DAY, room)
    end
end

local kept = redis.pcall('XLEN', items)
if type(kept) ~= 'number' then kept = 0 end
local first = math.max(head - kept + 1, 1)

local from, to
if what == 'after' then
    from, to = n + 1, math.min(head, n + limit)
elseif what == 'before' then
    to = math.min(head, n - 1)
    from = math.max(first, to - limit + 1)
else
    from, to = math.max(first, head - math.min(n, limit) + 1), head
end

local out = { 'OK', epoch, first, head }

if (want ~= '' and want ~= epoch) or from < first then
    out[1] = 'CANNOT'
    return out
elseif from > head + 1 then
    out[1] = 'LATER'
    return out
end

-- nothing up to that number can be read
local function broken(number)
    out = { 'BROKEN', epoch, number + 1, head }
    from = number + 1
end

while from <= to and bytes > 0 and (what ~= 'after' or out[1] == 'OK') do
    local some = redis.call('XRANGE', items, from .. '-0', to .. '-0',
                            'COUNT', 16)
    if #some == 0 then broken(to) end
    for _, e in ipairs(some) do
        local number, part = string.match(e[1], '^(%d+)-(%d+)$')
        local r = e[2][4]
        local odd = part ~= '0' or e[2][3] ~= 'r' or r == '' or #r > most
        number = tonumber(number)
        if bytes <= 0 then break end
        if number > from then broken(number - 1) end
        if number == from and odd then
            broken(number)
        elseif number == from then
            out[#out + 1] = from
            out[#out + 1] = r
            bytes = bytes - #r
            from = from + 1
        end
    end
end

if what == 'after' and out[1] == 'BROKEN' then
    return { 'BROKEN', epoch, out[3], head }
end

return out

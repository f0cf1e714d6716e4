#!lua flags=allow-oom
--
-- A zone says which of its workers live: those that are in the index and are
-- neither among them nor newer than all that it knows of are gone. In the
-- sets of those that live are looked for sessions whose mapping has another
-- holder or has run out: a login that was stored, and of which nobody heard.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, zone (<server>/<zone>), the
--       newest worker it knows of, events; workers that live
-- Answer: workers that are gone
-- Errors: LIFE
--
-- use: life now try who

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local zone, newest = ARGV[3], tonumber(ARGV[4])
local w = who(ARGV[5], ARGV[2], ARGV[1])
local lives, gone = {}, {}

for i = 6, #ARGV do lives[ARGV[i]] = true end

local function sweep(worker)
    local set, known = who_set(w, zone, worker)
    if not known then return end
    local at = w.prefix .. 'goim:sessions:' .. zone
    local state = at .. ':at'
    local page = redis.call('HSCAN', set, try('HGET', state, worker) or 0,
                            'COUNT', 200)
    redis.call('HSET', state, worker, page[1])
    redis.call('EXPIRE', state, 86400)
    for i = 1, #page[2], 2 do
        local session = page[2][i]
        local s = session ~= '' and who_get(set, zone, session)
        if s and try('HGET', w.prefix .. 'sess_' .. s.key, 'holder')
                 ~= zone .. '/' .. session
        then
            who_out(w, zone, worker, session, 'lost')
        end
    end
end

for _, worker in ipairs(try('SMEMBERS',
                            w.prefix .. 'goim:sessions:' .. zone)) do
    local n = tonumber(worker)
    if lives[worker] then
        sweep(worker)
    elseif n and n ~= 0 and n <= newest then
        gone[#gone + 1] = worker
    end
end

return gone

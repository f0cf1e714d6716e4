-- number(): what number.lua and number_full.lua have in common, with their
-- KEYS and ARGV.
--
-- A room has `meta` (epoch; seq, its newest number; last, the position of its
-- newest item; of, what the epoch belongs to; until, when items go),  `items`
-- (a stream, ids <seq>-0) and `ids` (sender and id, by time).  A partition has
-- `repeats` (positions above done, in hex), `judged` (up to where records
-- were compared with ids; of, by which [history] all that comes is judged),
-- `open` (rooms whose newest item may be above done,
-- the oldest first) and `rooms` (all metas, by when to look after them).
--
-- Whatever is done twice (after a crash, by two owners, after Redis went
-- back) must come out alike, so nothing of a clock's is in what decides.
--
-- use: life lease place above now belongs since

local NONE, REPEAT, STALE = 0, -1, -2
local DAY, IDS, FIELDS = 86400000, 100000, 7

local function number()
    local bad = life(KEYS[1], ARGV[1])
    if bad then return bad end
    local of = belongs(KEYS[2], ARGV[2], ARGV[1])
    if not of then return 'HISTORY' end
    if not lease(KEYS[3], ARGV[3]) then return 'FENCED' end

    local repeats, judged, metas, open = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
    local scope, base, word = ARGV[5], ARGV[6], ARGV[7]
    local dedup, from = tonumber(ARGV[8]), ARGV[9]
    local ms = now()
    local done = redis.pcall('HGET', KEYS[4], ARGV[4])
    local dh, dl = place(done)
    if not dh then done, dh, dl = '', -1, -1 end

    local rooms, order, begun, replaced = {}, {}, 0, 0
    local jh, jl, judging

    -- a command on a key, which is deleted first when it is of another type
    local function safe(name, key, ...)
        local r = redis.pcall(name, key, ...)
        if type(r) == 'table' and r.err then
            redis.call('DEL', key)
            replaced = replaced + 1
            r = redis.call(name, key, ...)
        end
        return r
    end

    -- What was numbered between the place and here may not be known: no epoch
    -- from before goes on.
    local field = ARGV[4] .. ' since'
    if from ~= '' and safe('HGET', KEYS[4], field) ~= from then
        redis.call('HSET', KEYS[4], field, from)
        redis.call('EXPIRE', KEYS[4], 30 * DAY / 1000)
    end
    of = since(KEYS[4], of)

    local function begin(t)
        begun = begun + 1
        t.epoch = word .. '-' .. begun
        t.seq, t.fresh, t.next = 0, true, nil
        redis.call('DEL', t.items)
    end

    local function timeline(room)
        local t = { room = room, meta = base .. 'meta:' .. room,
                    items = base .. 'items:' .. room,
                    ids = base .. 'ids:' .. room }
        local m = safe('HMGET', t.meta, 'epoch', 'seq', 'last', 'of')
        t.epoch, t.seq, t.last = m[1], tonumber(m[2] or ''), m[3]
        if m[4] ~= of or not t.epoch or not t.seq then
            t.last = done
            begin(t)
        end
        t.h, t.l = place(t.last)
        if not t.h then t.h, t.l = -1, -1 end
        rooms[room] = t
        order[#order + 1] = t
        return t
    end

    local function position(t, seq)
        local e = safe('XRANGE', t.items, seq .. '-0', seq .. '-0')[1]
        if e then return place(e[2][2]) end
    end

    -- the newest of these at or under a place, and whether it is that one
    local function search(t, low, high, h, l)
        while low <= high do
            local mid = math.floor((low + high) / 2)
            local ph, pl = position(t, mid)
            if not ph then return 0, false end
            if above(ph, pl, h, l) then
                high = mid - 1
            elseif ph == h and pl == l then
                return mid, true
            else
                low = mid + 1
            end
        end
        return high, false
    end

    -- what is done again comes in its order
    local function find(t, h, l)
        if t.next then
            local ph, pl = position(t, t.next)
            if ph == h and pl == l then
                t.next = t.next + 1
                return t.next - 1
            end
        end
        local first = t.seq - safe('XLEN', t.items) + 1
        local seq, found = search(t, math.max(first, 1), t.seq, h, l)
        if not found then return nil end
        t.next = seq + 1
        return seq
    end

    local function hex(h, l)
        return string.format('%016x%016x', h, l)
    end

    local function repeated(t, id, at, h, l)
        if id == '' then return false end
        if not jh then
            jh, jl = place(safe('HGET', judged, scope))
            if not jh then jh, jl = -1, -1 end
        end
        if not above(h, l, jh, jl) then
            return safe('ZSCORE', repeats, hex(h, l))
        end
        judging = true
        jh, jl = h, l
        safe('ZREMRANGEBYSCORE', t.ids, '-inf', '(' .. at - 2 * dedup)
        local was = redis.call('ZSCORE', t.ids, id)
        if was and math.abs(at - was) <= dedup then
            safe('ZADD', repeats, 0, hex(h, l))
            return true
        end
        redis.call('ZADD', t.ids, 'GT', at, id)
        if redis.call('ZCARD', t.ids) > IDS then
            redis.call('ZREMRANGEBYRANK', t.ids, 0, 0)
        end
        return false
    end

    local function store(t, h, l, i)
        local id = (t.seq + 1) .. '-0'
        local r = redis.pcall('XADD', t.items, id, 'p', ARGV[i + 3],
                              'r', ARGV[i + 4])
        if type(r) == 'table' then
            replaced = replaced + 1
            begin(t)
            redis.call('XADD', t.items, '1-0', 'p', ARGV[i + 3],
                       'r', ARGV[i + 4])
        end
        t.seq, t.stored = t.seq + 1, true
        t.last, t.h, t.l = ARGV[i + 3], h, l
        return t.seq
    end

    local function judge(t, i)
        local h, l = place(ARGV[i + 3])
        if not above(h, l, t.h, t.l) then
            local seq = find(t, h, l)
            if seq then return seq end
        elseif above(h, l, dh, dl)
               and not repeated(t, ARGV[i + 5], tonumber(ARGV[i + 6]), h, l)
        then
            return store(t, h, l, i)
        end
        if not above(h, l, dh, dl) then return STALE end
        if safe('ZSCORE', repeats, hex(h, l)) then return REPEAT end

        -- It had a number that nobody knows any more. Who was here before, and
        -- may have missed it, is told so by another epoch.
        if not t.fresh then begin(t) end
        return NONE
    end

    -- as many as are kept, and what is not done
    local function trim(t)
        local n = redis.call('XLEN', t.items)
        if n <= t.keep + t.keep / 8 + 16 then return end
        local seq, first = t.seq - t.keep, math.max(t.seq - n + 1, 1)
        if seq < first then return end
        local h, l = position(t, seq)
        if not h or above(h, l, dh, dl) then
            seq = search(t, first, seq - 1, dh, dl)
        end
        if seq >= first then
            redis.call('XTRIM', t.items, 'MINID', seq + 1 .. '-0')
        end
    end

    local function save(t)
        redis.call('HSET', t.meta, 'epoch', t.epoch, 'seq', t.seq,
                   'last', t.last, 'of', of, 'until', ms + t.ttl)
        if t.fresh then safe('ZADD', metas, 'NX', ms + 30 * DAY, t.room) end
        if t.stored then
            if safe('ZADD', open, ms, t.room) == 1 then
                redis.call('PERSIST', t.items)
            end
            trim(t)
        end
    end

    -- when the newest item is done, all of them have their time
    local function close(n)
        for _, room in ipairs(safe('ZRANGE', open, 0, n - 1)) do
            local items = base .. 'items:' .. room
            local m = safe('HMGET', base .. 'meta:' .. room, 'last', 'of',
                           'until')
            local h, l = place(m[1])
            if m[2] ~= of or not h then
                redis.call('DEL', items)
            elseif above(h, l, dh, dl) then
                return
            else
                redis.call('PEXPIREAT', items, m[3])
            end
            redis.call('ZREM', open, room)
        end
    end

    -- a meta without items goes after 30 days, and ids with it
    local function sweep(n)
        for _, room in ipairs(safe('ZRANGEBYSCORE', metas, '-inf', ms,
                                   'LIMIT', 0, n)) do
            local meta = base .. 'meta:' .. room
            local stays = tonumber(safe('HGET', meta, 'until') or '') or 0
            stays = stays + 30 * DAY
            if redis.call('EXISTS', base .. 'items:' .. room) == 1
               or safe('ZSCORE', open, room) then
                stays = math.max(stays, ms + DAY)
            end
            if stays > ms then
                redis.call('ZADD', metas, stays, room)
            else
                redis.call('DEL', meta, base .. 'ids:' .. room)
                redis.call('ZREM', metas, room)
            end
        end
    end

    -- not by a job of another bus, whose records have no number
    if string.match(ARGV[2], '^%S+') == scope
       and safe('HGET', judged, 'of') ~= ARGV[2]
    then
        redis.call('HSET', judged, 'of', ARGV[2])
    end

    local out = { 0 }

    for i = 10, #ARGV, FIELDS do
        if ARGV[i + 1] == '' then
            local home = ARGV[i + 5]
            redis.call('DEL', home .. 'meta:' .. ARGV[i],
                       home .. 'items:' .. ARGV[i])
            out[#out + 1], out[#out + 2] = NONE, ''
        else
            local t = rooms[ARGV[i]] or timeline(ARGV[i])
            t.keep, t.ttl = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
            out[#out + 1] = judge(t, i)
            out[#out + 1] = t.epoch
        end
    end

    for _, t in ipairs(order) do
        if t.stored or t.fresh then save(t) end
    end

    if judging then
        safe('HSET', judged, scope, string.format('%.0f-%.0f', jh, jl))
    end

    if judging or #ARGV < 10 then
        if dh >= 0 then
            safe('ZREMRANGEBYLEX', repeats, '-', '[' .. hex(dh, dl))
        end
    end

    close(#order + 8)
    sweep(8)

    out[1] = replaced
    return out
end

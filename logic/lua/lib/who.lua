-- who(text, prefix, life): what the functions here need; `text` is '' where the
-- application is told nothing, nil then; else "<types> <max> <worker>".
--
-- Who is there: a set of sessions for each worker, and what the application is
-- told of them. Whoever puts a session in, takes it out or moves it tells so in
-- the same step: once.
--
--   goim:sessions                   the zones, <server>/<zone>
--   goim:sessions:<zone>            the zone's workers
--   goim:sessions:<zone>/<worker>   session -> who it is; '' -> the life
--   goim:members:<room>             <key> NUL <zone>/<session>
--
-- A set of another life is not what it was: it begins anew. Of those that were
-- in it nothing is told but `reset`.
--
-- use: event

local function who(text, prefix, life)
    local types, max, worker = string.match(text, '^(%a*) (%d+) (%d+)$')
    if not types then return nil end
    return { types = types, max = tonumber(max), worker = worker, life = life,
             prefix = prefix, ms = now() }
end

-- The set, and whether it is one of this life; one that is not is removed.

local function who_set(w, zone, worker)
    local set = w.prefix .. 'goim:sessions:' .. zone .. '/' .. worker
    if try('HGET', set, '') == w.life then return set, true end
    redis.call('UNLINK', set)
    return set, false
end

local function who_get(set, zone, session)
    local packed = redis.call('HGET', set, session)
    local ok, s = pcall(cmsgpack.unpack, packed or '')
    if not packed or not ok or type(s) ~= 'table' or not s.room then
        return nil
    end
    s.zone, s.session = zone, session
    return s
end

local function who_member(s)
    return s.key .. '\0' .. s.zone .. '/' .. s.session
end

local function who_leave(w, s, why)
    if s.room == '' then return end
    try('ZREM', w.prefix .. 'goim:members:' .. s.room, who_member(s))
    event(w, 'leave', s, why)
end

-- who_in(w, s, ttl): it is there; s: zone, session, key, mid, room, moves (as a
-- number); `restored` when that is not news to it. Of two rooms the one counts
-- that it moved to later.

local function who_in(w, s, ttl)
    local set, known = who_set(w, s.zone, w.worker)
    local was = known and who_get(set, s.zone, s.session)
    if not known then
        redis.call('HSET', set, '', w.life)
        try('SADD', w.prefix .. 'goim:sessions', s.zone)
        try('SADD', w.prefix .. 'goim:sessions:' .. s.zone, w.worker)
    end
    if not was then
        try('HSET', w.prefix .. 'sess_' .. s.key, 'worker', w.worker)
        event(w, 'connect', s, s.restored and 'restored')
    elseif s.moves <= was.moves then
        s.room, s.moves = was.room, was.moves
    end
    local moved = s.room ~= (was and was.room or '')
    if was and moved then who_leave(w, was, 'moved') end
    if not was or s.moves ~= was.moves then
        redis.call('HSET', set, s.session, cmsgpack.pack({ key = s.key,
            mid = s.mid, room = s.room, moves = s.moves }))
    end
    if s.room == '' then return end
    local room = w.prefix .. 'goim:members:' .. s.room
    try('ZADD', room, 0, who_member(s))
    redis.call('PEXPIRE', room, ttl)
    if moved then
        event(w, 'join', s, not was and s.restored and 'restored')
    end
end

-- who_out(w, zone, worker, session, why): it is gone, if it was there.

local function who_out(w, zone, worker, session, why)
    local set, known = who_set(w, zone, worker)
    local was = known and session ~= '' and who_get(set, zone, session)
    if not was then return end
    redis.call('HDEL', set, session)
    who_leave(w, was, why)
    event(w, 'disconnect', was, why)
end

-- who_had(w, holder, worker, why): the same, by what sess_<key> says.

local function who_had(w, holder, worker, why)
    local zone, session = string.match(holder, '^(.*)/([^/]*)$')
    if zone then who_out(w, zone, worker or '0', session, why) end
end

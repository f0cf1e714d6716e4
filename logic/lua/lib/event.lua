-- event(w, type, s, why, ...): the application is to be told, if it wants that
-- type: w.types has their first letters. w: prefix, life, max, ms; s: zone,
-- session, key, mid, room; then more fields.
--
-- Events for the application wait in the stream goim:events, whose ids are
-- theirs. The oldest are given up when more than `max` wait, and counted. The
-- first of each life is `reset`: nobody of those told before need be there.

-- event_add(w, field, value, ...); w: prefix, life, max

local function event_add(w, ...)
    local stream, state = w.prefix .. 'goim:events',
                          w.prefix .. 'goim:events:state'
    local n = try('XLEN', stream)
    if n >= w.max then
        redis.call('HINCRBY', state, 'dropped',
                   redis.call('XTRIM', stream, 'MAXLEN', w.max - 1))
    end
    local id = redis.pcall('XADD', stream, w.life .. '-*', ...)
    if type(id) == 'string' then return end

    -- ids of somebody else, above all of ours
    redis.call('HINCRBY', state, 'dropped', redis.call('XLEN', stream))
    redis.call('DEL', stream)
    redis.call('XADD', stream, w.life .. '-*', ...)
end

local function event_begin(w)
    local state = w.prefix .. 'goim:events:state'
    if try('HGET', state, 'life') == w.life then return end
    redis.call('HSET', state, 'life', w.life)
    event_add(w, 'type', 'reset', 'at', string.format('%.0f', w.ms))
end

local function event(w, type, s, why, ...)
    if not string.find(w.types, string.sub(type, 1, 1), 1, true) then return end
    event_begin(w)
    event_add(w, 'type', type, 'at', string.format('%.0f', w.ms),
              'mid', s.mid, 'key', s.key, 'zone', s.zone, 'session', s.session,
              'room', s.room, 'why', why or '', ...)
end

-- offline(...): the state of what the application is to be told of messages for
-- users without a session; job's im_offline.lua says what it is.

local offline_form = '%.0f %.0f %.0f %.0f %.0f'

local function offline_get(key, who)
    local text = redis.call('HGET', key, who)
    local last, count, upto, told, since = string.match(text or '',
        '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    if not last then return nil end
    return { last = tonumber(last), count = tonumber(count),
             upto = tonumber(upto), told = tonumber(told),
             since = tonumber(since) }
end

local function offline_set(key, who, s)
    redis.call('HSET', key, who, string.format(offline_form, s.last, s.count,
        s.upto, s.told, s.since))
end

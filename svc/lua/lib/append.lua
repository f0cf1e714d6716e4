-- append(life_key, stream, command...): an id, and true when the stream was
-- replaced; or nil and an error reply.
--
-- For streams with ids <life>-*. A stream that is no stream is deleted and
-- begun again. One whose last id lies above the life can only come from a
-- lost goim:life or a stranger: the life is lifted above it, and everybody
-- connects again; where that cannot be expressed, it is replaced too.

local function append(life_key, stream, ...)
    local id = redis.pcall(...)
    if type(id) == 'string' then return id end
    local err = id.err or ''
    if string.find(err, 'equal or smaller', 1, true) then
        local last = redis.pcall('XREVRANGE', stream, '+', '-', 'COUNT', 1)
        local ms = last[1] and string.match(last[1][1], '^(%d+)-')
        if ms and #ms < 16 then
            redis.call('HSET', life_key, 'n',
                       string.format('%.0f', tonumber(ms) + 1))
            return nil, redis.error_reply('LIFE lifted above a stream')
        end
    elseif string.find(err, 'WRONGTYPE', 1, true) ~= 1 then
        return nil, id
    end
    redis.call('DEL', stream)
    id = redis.pcall(...)
    if type(id) == 'string' then return id, true end
    return nil, id
end

-- node_append(): what node_append.lua and node_append_full.lua have in
-- common, with their KEYS and ARGV.
--
-- Ids go on in the life, or above it where the stream began anew: with 1 then,
-- which tells the node that it lacks entries.
--
-- use: life append now

local function node_append()
    local bad = life(KEYS[2], ARGV[1])
    if bad then return bad end

    local begun = 'begun ' .. KEYS[1]
    local was = redis.call('HGET', KEYS[2], begun)
    local ms = ARGV[1]
    if was and tonumber(was) > tonumber(ms) then ms = was end

    local function add(n)
        return append(KEYS[2], KEYS[1], 'XADD', KEYS[1], 'MAXLEN', '~', ARGV[2],
                      ms .. '-' .. n, 'd', ARGV[3])
    end

    local id, extra = add('*')
    if not id then return extra end

    -- A stream that is new always begins with 0. One that does so a second time
    -- was deleted in between, and its ids would come twice.
    if string.sub(id, -2) == '-0' then
        if was == ms then
            redis.call('DEL', KEYS[1])
            ms = string.format('%.0f', math.max(now(), tonumber(ms) + 1))
            id = add(1)
        end
        redis.call('HSET', KEYS[2], begun, ms)
        redis.call('EXPIRE', KEYS[1], ARGV[4], 'NX')
    end

    if extra then return { id, 'replaced' } end
    return id
end

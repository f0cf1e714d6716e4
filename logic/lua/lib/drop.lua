-- drop(prefix, key, server, mid): remove the three keys of a session whose
-- holder was `server`; what is another server's by now stays.

local function drop(prefix, key, server, mid)
    redis.call('DEL', prefix .. 'sess_' .. key)
    if try('GET', prefix .. 'key_' .. key) == server then
        redis.call('DEL', prefix .. 'key_' .. key)
    end
    if mid and mid ~= '0' and try('HGET', prefix .. 'mid_' .. mid, key) == server
    then
        redis.call('HDEL', prefix .. 'mid_' .. mid, key)
    end
end

-- belongs(key, of, life): what epochs belong to, where the hash `key` says
-- that history is kept as `of` has it; else nil.

local function belongs(key, of, life)
    local h = redis.pcall('HMGET', key, 'of', 'lived')
    if h.err or h[1] ~= of then return nil end
    return h[2] == '1' and of .. ' ' .. life or of
end

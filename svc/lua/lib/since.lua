-- since(done, of): what epochs of a partition belong to: `of`, and where the
-- partition began away from its place. The hash `done` has that.
local function since(done, of)
    local at = redis.pcall('HGET', done, string.match(of, '^%S+') .. ' since')
    return type(at) == 'string' and of .. ' ' .. at or of
end

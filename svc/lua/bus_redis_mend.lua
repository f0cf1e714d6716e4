#!lua flags=allow-oom
--
-- What should be a stream and is none is deleted.
--
-- KEYS: streams
-- ARGV: none
-- Answer: how many were deleted
-- Errors: none of its own
--
-- use: fit

local n = 0
for _, key in ipairs(KEYS) do
    if fit(key, 'stream') then n = n + 1 end
end
return n

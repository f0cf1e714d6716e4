-- late(deadline): an error reply with Redis's clock when that is past
-- `deadline`, else nil. Whoever asked has given up by then, and may have had
-- it done by another one.

local function late(deadline)
    local ms = now()
    if ms <= tonumber(deadline) then return nil end
    return redis.error_reply(string.format('LATE %.0f', ms))
end

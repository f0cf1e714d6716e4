-- place(text): the two numbers of a place, "<high>-<low>" or "<low>", whatever
-- stands behind a blank; nil for what is none.

local function place(text)
    if type(text) ~= 'string' then return nil end
    text = string.match(text, '^[^ ]*')
    local high, low = string.match(text, '^(%d+)-(%d+)$')
    if high then return tonumber(high), tonumber(low) end
    low = string.match(text, '^%d+$')
    if low then return 0, tonumber(low) end
    return nil
end

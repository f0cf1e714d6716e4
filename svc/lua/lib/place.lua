-- place(text): the two numbers of a place, "<high>-<low>" or "<low>"; nil for
-- what is none. farther(a, b): whether place a is behind b, or b is none.

local function place(text)
    if type(text) ~= 'string' then return nil end
    local high, low = string.match(text, '^(%d+)-(%d+)$')
    if high then return tonumber(high), tonumber(low) end
    low = string.match(text, '^%d+$')
    if low then return 0, tonumber(low) end
    return nil
end

local function farther(a, b)
    local ah, al = place(a)
    local bh, bl = place(b)
    if not ah then return false end
    return not bh or ah > bh or (ah == bh and al > bl)
end

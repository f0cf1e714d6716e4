-- farther(a, b): whether place a is behind b, or b is none.
--
-- use: place

local function farther(a, b)
    local ah, al = place(a)
    local bh, bl = place(b)
    if not ah then return false end
    return not bh or ah > bh or (ah == bh and al > bl)
end

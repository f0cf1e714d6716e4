-- above(ah, al, bh, bl): whether place a is behind b; both by their numbers.

local function above(ah, al, bh, bl)
    return ah > bh or (ah == bh and al > bl)
end

# A script as Redis gets it: helpers in place, without comments.
#
#     awk -f tools/lua.awk svc/lua/NAME.lua           as Lua
#     awk -v c=1 -f tools/lua.awk svc/lua/NAME.lua    as C: `NAME_lua`
#
# A line `-- use: NAME NAME` stands for lib/NAME.lua, of the script's own
# folder or of svc/lua. A comment has its line for itself.

function fail(text)
{
    print text >"/dev/stderr"
    failed = 1
    exit 1
}


function put(line)
{
    if (c) {
        gsub(/\\/, "\\\\&", line)
        gsub(/"/, "\\\"", line)
        line = "    \"" line "\\n\""
    }

    print line
}


function paste(path,    line, n)
{
    for (n = 0; (getline line <path) > 0; n++) {
        take(line)
    }

    close(path)

    return n
}


function use(name)
{
    if (!paste(folder "/lib/" name ".lua") &&
        !paste("svc/lua/lib/" name ".lua"))
    {
        fail(FILENAME ": no lib/" name ".lua")
    }
}


function take(line,    names, n, i)
{
    if (line ~ /^-- use: /) {
        sub(/^-- use: */, "", line)
        n = split(line, names, " ")

        for (i = 1; i <= n; i++) {
            use(names[i])
        }

    } else if (line !~ /^[ \t]*(--.*)?$/) {
        put(line)
    }
}


FNR == 1 {
    folder = FILENAME
    sub(/\/[^\/]*$/, "", folder)

    if (c) {
        name = FILENAME
        sub(/^.*\//, "", name)
        sub(/\.lua$/, "", name)

        print "/* Made of " FILENAME " by tools/lua.awk. */"
        print ""
        print "static const char  " name "_lua[] ="
    }
}

{
    take($0)
}

END {
    if (c && !failed) {
        print "    ;"
    }
}

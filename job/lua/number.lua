#!lua
--
-- Number and store the items of rooms with history: all that waits of a
-- partition.
--
-- KEYS: goim:life, goim:history, the partition's lease, goim:{<n>}:done,
--       goim:{<n>}:repeats:<bus epoch>, goim:{<n>}:judged,
--       goim:{<n>}:rooms, goim:{<n>}:open
-- ARGV: life of the connection, what goim:history has as `of`, the lease:
--       "<holder> <fence>", field of `done`, bus epoch, what keys of the
--       partition begin with, a random word, dedup (ms), where the partition
--       began, if that is not behind its place, or '', then for each record, by
--       position: room, how many items it keeps, for how long
--       (ms), position, packed goim.Record, sender and id or '', its time. Of
--       one that can have no number as it came elsewhere than to its room's
--       partition: room, '', '', '', '', what keys of that partition begin
--       with, ''; the room's epoch ends, so that who recovers is told
-- Answer: { keys of another type that were replaced, then for each record
--         its number and the epoch }, or 'HISTORY' when goim:history has
--         another `of`, 'FENCED' when the lease is another's: nothing was
--         done. Instead of a number: 0, it has none and goes out so; -1, a
--         repeat; -2, it was done before: both go nowhere
-- Errors: LIFE, OOM: nothing was done
--
-- From then on the partition goes by that `of`: before, no room of it begins.
--
-- use: number

return number()

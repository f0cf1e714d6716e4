/*
 * A client's places in the histories of its rooms: where it says that it was,
 * where it is told to be (operation 23), which item follows, and up to where
 * the application has had them all. Without a socket.
 *
 * A position is { epoch, seq }: all items up to seq, in the numbering epoch.
 */

import { GoimError } from './goim_packet.js';

const MAX_ROOMS = 64;               /* whose positions are remembered */
const MAX_LAST = 1000;
const MAX_SEQUENCE = 0x7fffffff;


/* The sequence in the header of the item with this number. */
export function sequenceOf(seq) {
    return (seq - 1) % MAX_SEQUENCE + 1;
}


/* A copy of a position; null: it is none. */
function position(value) {
    return typeof value?.epoch === 'string' && /^[!-~]{1,32}$/.test(value.epoch)
        && Number.isSafeInteger(value.seq) && value.seq >= 0
        ? { epoch: value.epoch, seq: value.seq } : null;
}


/* What `text` holds in JSON, or null. */
function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}


/* What was missed of the numbering that goes on; `to` null: nobody knows. */
function gap(was, now) {
    const from = was.seq + 1;

    if (now !== null && now.epoch !== was.epoch) {
        return { from: 1, to: now.seq, restarted: true };
    }

    return { from, to: now?.seq >= from ? now.seq : null, restarted: false };
}


/* What an application wants to begin with; null: it does not say. */
function checkStart({ position: at = null, last = null }) {
    if (at !== null) {
        const start = position(at);

        if (start === null) {
            throw new GoimError('argument', 'position is not { epoch, seq }');
        }

        return start;
    }

    if (last === null) {
        return null;
    }

    if (!Number.isInteger(last) || last < 0 || last > MAX_LAST) {
        throw new GoimError('argument', `last is not from 0 to ${MAX_LAST}`);
    }

    return { last };
}


export class Places {
    #report;
    #storage;
    #prefix;
    #otherwise;             /* how rooms without a position are begun */

    #asked = new Map();     /* by room: what the application wants next */
    #given = new Map();     /* by room: what it was given */
    #done = new Map();      /* by room: what it has done with */
    #moves = [];            /* of #done, in order, that wait for handlers */
    #unsaved = new Set();   /* rooms */

    #room = '';             /* that we were told of, */
    #wire = null;           /* ... what came last there, */
    #head = 0;              /* ... and the last that was missed */


    /* report(error) hears of a storage that fails */
    constructor({ room, position: at, last, storage, mid }, report) {
        this.#report = report;
        this.#storage = storage;
        this.#prefix = `goim:${mid}:`;
        this.#otherwise = checkStart({ last }) ?? {};

        this.ask(room, { position: at });
    }


    /*
     * Begin a room so at the next occasion, whatever is known of it. Who names
     * a position has all up to there.
     */
    ask(room, start) {
        const wanted = checkStart(start);

        if (wanted !== null) {
            this.#asked.set(room, wanted);
        }

        if (wanted?.epoch) {
            this.handed(room, wanted);
        }
    }


    /* The entry for a room that is entered. */
    entry(room) {
        return this.#asked.get(room) ?? this.#given.get(room)
            ?? this.#stored(room) ?? this.#otherwise;
    }


    /*
     * What a new connection says. The application may have put us elsewhere
     * than where we asked to be: it may do so again.
     */
    begin(room) {
        const rooms = [room, this.#room].filter((name) => name !== '');

        this.#wire = null;

        return Object.fromEntries(rooms.map((name) => [name,
            this.entry(name)]));
    }


    /*
     * What operation 23 says of a room: { room, at, type, detail }, the position
     * that the application has there when it has done with this event, if any.
     * `entry` null: it has no history.
     */
    told(room, entry) {
        if (entry !== null && position(entry) === null) {
            throw new GoimError('malformed', 'no position in operation 23');
        }

        const asked = this.#asked.get(room);
        const was = position(this.entry(room));
        const at = position(entry);

        this.#asked.delete(room);
        this.#room = room;
        this.#wire = position(entry);
        this.#head = 0;

        if (entry?.recovered === true) {
            this.#head = entry.head ?? at.seq;

            /*
             * What came after we had said where we were comes again. Who asked
             * for a position wants that, though.
             */

            const given = this.#given.get(room);

            if (asked === undefined && given?.epoch === at.epoch) {
                at.seq = Math.max(given.seq, at.seq);
            }
        }

        this.#remember(room, at);

        if (entry?.recovered === true) {
            const count = Math.max(this.#head - at.seq, 0);

            return { room, at, type: 'recovered', detail: { room, count } };
        }

        if (was !== null && (at === null || entry.recovered === false)) {
            return { room, at, type: 'gap', detail: { room, ...gap(was, at) } };
        }

        return { room, at };
    }


    /*
     * A push with a number: what is to be handed over with it, or null if the
     * application was given it. Throws when it does not follow.
     */
    item({ sequence }) {
        const wire = this.#wire;
        const next = wire === null ? 'none' : sequenceOf(wire.seq + 1);

        if (sequence !== next) {
            throw new GoimError('lost', `item ${sequence} came, not ${next}`);
        }

        const { epoch } = wire;
        const seq = ++wire.seq;
        const given = this.#given.get(this.#room);

        if (seq <= given.seq) {
            return null;
        }

        given.seq = seq;

        return { room: this.#room, epoch, seq, missed: seq <= this.#head };
    }


    /*
     * The application was handed what moves it to `at` in a room, and has done
     * with it when these promises are settled, and all before it.
     */
    handed(room, at, promises = []) {
        const move = { room, at, left: promises.length };
        const newest = this.#moves.at(-1);

        /* behind a handler that never returns there may be many */

        if (newest?.left === 0 && newest.room === room && move.left === 0) {
            newest.at = at;
            return;
        }

        this.#moves.push(move);
        this.#settle();

        for (const promise of promises) {

            /* one that is rejected stays so, for the browser to report */

            Promise.resolve(promise).finally(() => {
                move.left--;
                this.#settle();
            });
        }
    }


    /* Up to where the application has done with a room's items, or null. */
    position(room) {
        return position(this.#done.get(room) ?? this.#stored(room));
    }


    #remember(room, at) {
        this.#given.delete(room);

        if (at !== null) {
            this.#given.set(room, { ...at });
        }

        for (const [name] of this.#given) {
            if (this.#given.size <= MAX_ROOMS) {
                break;
            }

            this.#given.delete(name);
            this.#done.delete(name);
        }
    }


    #settle() {
        while (this.#moves.length > 0 && this.#moves[0].left === 0) {
            const { room, at } = this.#moves.shift();

            this.#move(room, at);
        }
    }


    #move(room, at) {
        if (at === null) {
            this.#done.delete(room);
        } else {
            this.#done.set(room, at);
        }

        /* one write for all of a frame */

        if (this.#storage !== null && room !== '') {
            if (this.#unsaved.size === 0) {
                queueMicrotask(() => this.#save());
            }

            this.#unsaved.add(room);
        }
    }


    /* ---- storage ---- */

    #stored(room) {
        return position(parse(this.#storage?.getItem(this.#prefix + room)));
    }


    #save() {
        const rooms = [...this.#unsaved];

        this.#unsaved.clear();

        try {
            for (const room of rooms) {
                const at = this.#done.get(room);
                const name = this.#prefix + room;

                if (at === undefined) {
                    this.#storage.removeItem(name);
                } else {
                    this.#storage.setItem(name, JSON.stringify(at));
                }
            }

        } catch (e) {
            this.#report(new GoimError('storage',
                `position not stored: ${e.message}`, { cause: e }));
        }
    }
}

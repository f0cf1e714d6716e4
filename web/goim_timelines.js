/*
 * What a connection follows item by item: the room that it is in, and its
 * user's inbox. Which of them a packet belongs to.
 */

import { GoimError, Op } from './goim_packet.js';

export const INBOX = 'im://inbox';


/* The map of operation 23. */
function parseTold(text) {
    let map;

    try {
        map = JSON.parse(text);
    } catch {
        map = null;
    }

    if (typeof map !== 'object' || map === null) {
        throw new GoimError('malformed', 'no position in operation 23');
    }

    return map;
}


export class Timelines {
    rooms;                  /* Places, or null: it does not recover */
    #inbox = null;          /* the same */
    #numbered = false;      /* this connection's inbox has a position */


    constructor(rooms) {
        this.rooms = rooms;
    }


    get any() { return this.rooms !== null || this.#inbox !== null; }


    follow(inbox) {
        this.#inbox = inbox;
    }


    /* What a new connection says of all of them; null: nothing. */
    begin(room) {
        this.#numbered = false;

        return this.any ? { ...this.rooms?.begin(room),
            ...this.#inbox?.begin(INBOX) } : null;
    }


    /*
     * Operation 23: the events of it, { places, type, detail, room, at }: of
     * which place, and up to where it is done with then.
     */
    told(text) {
        const map = parseTold(text);
        const names = Object.keys(map);
        const steps = [];

        if (this.#inbox !== null && names.includes(INBOX)) {
            const step = this.#inbox.told(INBOX, map[INBOX]);

            this.#numbered = map[INBOX] !== null;
            steps.push({ ...step, places: this.#inbox, type: 'inbox',
                detail: { ...step.detail, what: step.type ?? 'begun' } });
        }

        const [room] = names.filter((name) => name !== INBOX);

        if (this.rooms !== null && (room !== undefined || names.length === 0)) {
            steps.push({ ...this.rooms.told(room ?? '', map[room] ?? null),
                places: this.rooms });
        }

        return steps;
    }


    #of({ operation, sequence }) {
        if (sequence === 0) {
            return null;
        }

        return this.#numbered && operation === Op.ITEM ? this.#inbox
            : this.rooms;
    }


    /* Whether a push is an item of a timeline. */
    has(push) {
        return this.#of(push) !== null;
    }


    /* The event of an item, as of told(); null: the application was given it. */
    item(push) {
        const places = this.#of(push);
        const item = places.item(push);

        if (item === null) {
            return null;
        }

        const { room, epoch, seq } = item;
        const inbox = places === this.#inbox;

        Object.assign(push, item, inbox ? { what: 'item' } : {});

        return { places, type: inbox ? 'inbox' : 'message', detail: push, room,
            at: { epoch, seq } };
    }
}

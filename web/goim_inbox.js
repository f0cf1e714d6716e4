/*
 * A user's inbox: each entry once and in order. Where the node numbers them it
 * is one more timeline; where it does not they are read by a command, and a
 * packet of operation 20 only says that there is something.
 */

import { decodeItem, readItem } from './goim_item.js';
import { Op } from './goim_packet.js';
import { Places, sequenceOf } from './goim_recover.js';
import { ended, passes } from './goim_send.js';
import { INBOX } from './goim_timelines.js';

const NODE = 3000;              /* milliseconds for the node's word, if we have */
                                /* a position: without, it begins now */
const AGAIN = 3000;             /* ... until it is read again after an error */
const PAGE = 100;
const NEWEST = Number.MAX_SAFE_INTEGER;


export class Inbox {
    #client;
    #places;
    #sync;
    #tell;
    #report;

    #numbered = false;          /* by the node, on this connection */
    #timer = null;
    #read = null;               /* { epoch, seq }: read so far */
    #reading = false;
    #more = false;              /* read on, when that is done */


    /*
     * tell(type, detail) returns the promises of who heard it; sync(parameters)
     * asks for what follows a number.
     */
    constructor(client, { mid, storage, position, sync, tell, report }) {
        this.#client = client;
        this.#sync = sync;
        this.#tell = tell;
        this.#report = report;
        this.#places = new Places({ room: INBOX, position, last: null, storage,
            mid }, report);

        client.follow(this.#places);
        client.on('inbox', (detail) => {
            this.#numbered = true;

            return Promise.all(this.#heard(detail));
        });
        client.on('state', ({ state }) => this.#state(state));
        client.on('message', ({ operation }) => {
            if (operation === Op.ITEM) {
                this.#pull();
            }
        });
    }


    get position() { return this.#places.position(INBOX); }


    /* An event of the timeline: the promises of who heard it. */
    #heard({ what, ...detail }) {
        if (what === 'begun') {
            return [];
        }

        if (what !== 'item') {
            const { room, ...rest } = detail;

            return this.#tell(what, rest);
        }

        const { body, seq, missed } = detail;

        try {
            return this.#tell('item',
                { ...decodeItem(body), inbox: seq, missed });
        } catch (e) {
            this.#report(e);

            return [];
        }
    }


    /* ---- where the node does not number them ---- */

    #state(state) {
        clearTimeout(this.#timer);
        this.#numbered = false;
        this.#read = null;

        if (state === 'open') {
            this.#later(this.position === null ? 0 : NODE);
        }
    }


    #later(ms) {
        this.#timer = setTimeout(() => this.#pull(), ms);
    }


    async #pull() {
        this.#more = true;

        if (this.#reading) {
            return;
        }

        this.#reading = true;

        try {
            while (this.#more && !this.#numbered
                && this.#client.state === 'open')
            {
                this.#more = false;
                await this.#page();
            }

        } catch (e) {
            if (passes(e)) {
                this.#later(AGAIN);
            } else if (!ended(e)) {
                this.#report(e);
            }
        }

        this.#reading = false;
    }


    /* What a node would say and send, from an answer to sync. */
    async #page() {
        const was = this.#read ?? this.#places.entry(INBOX);
        const { epoch, seq, items } = await this.#sync(
            { after: was.seq ?? NEWEST, limit: PAGE });
        const follows = was.epoch === epoch && was.seq <= seq;

        if (this.#numbered) {
            return;                 /* the node's word came in between */
        }

        if (this.#read === null || !follows) {
            this.#told(follows ? { epoch, seq: was.seq, head: seq,
                recovered: true } : { epoch, seq,
                ...(was.epoch === undefined ? {} : { recovered: false }) });
        }

        if (follows) {
            items.forEach((item) => this.#item(item));
            this.#rest(seq, items.length);
        }
    }


    /* Where we are now, as by operation 23. */
    #told(entry) {
        const { at, type, detail } = this.#places.told(INBOX, entry);

        this.#read = { epoch: entry.epoch, seq: entry.seq };
        this.#places.handed(INBOX, at, type === undefined ? []
            : this.#heard({ what: type, ...detail }));
    }


    #item({ inbox, ...fields }) {
        const { epoch, seq } = this.#read;

        if (inbox <= seq) {
            return;
        }

        if (inbox > seq + 1) {      /* what was between has been replaced */
            this.#told({ epoch, seq: inbox - 1 });
        }

        const item = this.#places.item({ sequence: sequenceOf(inbox) });

        this.#read.seq = inbox;

        if (item !== null) {
            this.#places.handed(INBOX, { epoch, seq: inbox }, this.#tell('item',
                { ...readItem(fields), inbox, missed: item.missed }));
        }
    }


    /* A page ends before the inbox does. */
    #rest(seq, count) {
        if (count > 0) {
            this.#more ||= this.#read.seq < seq;
        } else if (this.#read.seq < seq) {
            this.#told({ epoch: this.#read.epoch, seq });
        }
    }
}

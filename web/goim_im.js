/*
 * Messages between people: what is sent is kept until it is stored, what comes
 * comes once and in order. README.md tells how to use it, docs/im.md what is
 * behind it.
 */

import { Events, hand } from './goim_events.js';
import { Insist } from './goim_insist.js';
import {
    copyBody, decodeItem, encodeParameters, readAnswer, readItem,
} from './goim_item.js';
import { randomKey } from './goim_options.js';
import { Outbox } from './goim_outbox.js';
import { GoimError, Op, checkMid } from './goim_packet.js';
import { Places } from './goim_recover.js';
import { INBOX } from './goim_timelines.js';

/* entries of the inbox that are no items, but of our own */
const OWN = new Set(['read', 'conv']);

const RETRY = 1000;             /* milliseconds until the second attempt */


export class Im extends Events {
    #client;
    #mid;
    #insist;
    #outbox;
    #places;                    /* where we are in the inbox */
    #cursors = new Map();       /* by conversation: { wanted, done, promise } */
    #opened = false;            /* this time */


    /*
     * Of a GoimClient that is not connected yet. storage: where the position in
     * the inbox outlives the page; position: where to begin; outbox: where
     * messages wait, 'memory' or 'indexeddb'.
     */
    constructor(client, { storage = null, position = null, outbox = 'memory',
        retry = RETRY } = {})
    {
        super();

        this.#client = client;
        this.#mid = checkMid(client.mid);

        if (client.state !== 'closed' || this.#mid === '0') {
            throw new GoimError('argument',
                'a client with a mid, before connect(), is needed');
        }

        const report = (error) => this.#emit('error', error);

        this.#insist = new Insist(client, retry);

        this.#places = new Places({ room: INBOX, position, last: null, storage,
            mid: this.#mid }, report);

        this.#outbox = new Outbox({
            kept: outbox, mid: this.#mid, report,
            send: (message) => this.#insist.until(() => this.#post(message)),
            tell: (type, detail) => this.#emit(type, detail),
        });

        client.follow(this.#places);
        client.sub([Op.SIGNAL]);
        client.on('inbox', (detail) => this.#told(detail));
        client.on('message', (push) => this.#heard(push));
        client.on('state', ({ state }) => {
            this.#opened ||= state === 'open';
        });
        client.on('denied', (error) => this.#ended(error));
    }


    get client() { return this.#client; }
    get mid() { return this.#mid; }

    /* { epoch, seq }: the inbox's entries up to there are done with; or null */
    get position() { return this.#places.position(INBOX); }

    /* resolves when waiting has those of the page before, too */
    get ready() { return this.#outbox.ready; }

    /* messages without an answer, the oldest first: { to, id, kind, body } */
    get waiting() { return this.#outbox.waiting; }


    /*
     * A message to a user or a group. Resolves with { conv, seq, at } when it is
     * stored, whatever it takes; rejects when it is refused.
     */
    async send(to, payload, { id = randomKey(), kind = 'msg' } = {}) {
        const message = { to: String(to), id: String(id), kind: String(kind),
            body: copyBody(payload) };

        this.#encode(message);      /* throws what can't be */

        return this.#outbox.add(message);
    }


    /* A command, once; resolves with what the answer has as data. */
    async do(name, parameters = {}, payload = '') {
        const answer = await this.#client.send(Op.COMMAND,
            encodeParameters({ do: name, ...parameters }, payload));

        if (answer.operation !== Op.COMMAND_REPLY) {
            throw new GoimError('unsupported', 'no messages between people');
        }

        return readAnswer(answer).data ?? null;
    }


    /* The conversations, the one with the newest item first. */
    async conversations(page = {}) {
        const list = await this.do('convs', page);

        return list.map(({ last, ...conversation }) => ({
            ...conversation,
            unread: conversation.n - conversation.read_n,
            last: readItem(last),
        }));
    }


    /*
     * Items of a conversation, the oldest first: { seq, read, items }. page is
     * { before } or { after }, and { limit }; the newest without.
     */
    async history(conv, page = {}) {
        const data = await this.do('history', { conv, ...page });

        return { ...data, items: data.items.map(readItem) };
    }


    /* We have read so far. Resolves when that is stored, whatever it takes. */
    async read(conv, seq) {
        const cursor = this.#cursors.get(conv)
            ?? { wanted: 0, done: 0, promise: null };

        this.#cursors.set(conv, cursor);
        cursor.wanted = Math.max(cursor.wanted, seq);

        cursor.promise ??= this.#advance(conv, cursor)
            .finally(() => { cursor.promise = null; });

        return cursor.promise;
    }


    /* Something that is stored nowhere, as typing: { to, kind }. */
    signal(to, kind, payload = '') {
        this.#client.tell(Op.SIGNAL,
            encodeParameters({ to: String(to), kind }, payload));
    }


    /* ---- what goes ---- */

    #encode({ to, id, kind, body }) {
        return encodeParameters({ to, id, kind }, body);
    }


    async #post(message) {
        const { conv, seq, at } = readAnswer(await this.#client.send(Op.SEND,
            this.#encode(message)));

        return { conv, seq, at };
    }


    async #advance(conv, cursor) {
        while (cursor.done < cursor.wanted) {
            const { wanted } = cursor;

            try {
                await this.#insist.until(() => this.do('read',
                    { conv, read: wanted }));

            } catch (e) {
                cursor.wanted = cursor.done;
                throw e;
            }

            cursor.done = wanted;
        }
    }


    /* ---- what comes ---- */

    #emit(type, detail) {
        hand(this, type, detail);
    }


    /* Of the inbox. A promise: until who heard it has done with it. */
    #told({ what, room, ...detail }) {
        if (what === 'begun') {
            return undefined;
        }

        return Promise.all(what === 'item' ? this.#entry(detail)
            : hand(this, what, detail));
    }


    #entry({ body, seq, missed }) {
        const entry = this.#decoded(body);

        if (entry === null) {
            return [];
        }

        return hand(this, entry.seq === undefined && OWN.has(entry.kind)
            ? entry.kind : 'item', { ...entry, inbox: seq, missed });
    }


    #heard({ operation, body }) {
        const signal = operation === Op.SIGNAL ? this.#decoded(body) : null;

        if (signal !== null) {
            this.#emit('signal', signal);
        }
    }


    #decoded(body) {
        try {
            return decodeItem(body);
        } catch (e) {
            this.#emit('error', e);

            return null;
        }
    }


    /* Not to come back: a device that was let in is one that was sent away. */
    #ended(error) {
        if (this.#opened) {
            this.#opened = false;
            this.#emit('kicked', { code: error.status ?? null,
                reason: error.reason ?? error.message });
        }
    }
}

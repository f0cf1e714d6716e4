/*
 * Messages between people: what is sent is kept until it is stored, what comes
 * comes once and in order. README.md tells how to use it, docs/im.md what is
 * behind it.
 */

import { Events, hand } from './goim_events.js';
import { Insist } from './goim_insist.js';
import { Inbox } from './goim_inbox.js';
import {
    copyBody, decodeItem, encodeParameters, readAnswer, readItem,
} from './goim_item.js';
import { randomKey } from './goim_options.js';
import { Outbox } from './goim_outbox.js';
import { GoimError, Op, checkMid } from './goim_packet.js';

const RETRY = 1000;             /* milliseconds until the second attempt */


export class Im extends Events {
    #client;
    #mid;
    #insist;
    #outbox;
    #inbox;
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

        this.#inbox = new Inbox(client, {
            storage, position, mid: this.#mid, report,
            sync: (parameters) => this.do('sync', parameters),
            tell: (type, detail) => hand(this, type, detail),
        });

        this.#outbox = new Outbox({
            kept: outbox, mid: this.#mid, report,
            send: (message) => this.#insist.until(() => this.#post(message)),
            tell: (type, detail) => this.#emit(type, detail),
        });

        client.sub([Op.ITEM, Op.SIGNAL]);
        client.on('message', (push) => this.#heard(push));
        client.on('state', ({ state }) => {
            this.#opened ||= state === 'open';
        });
        client.on('denied', (error) => this.#ended(error));
    }


    get client() { return this.#client; }
    get mid() { return this.#mid; }

    /* { epoch, seq }: the inbox's entries up to there are done with; or null */
    get position() { return this.#inbox.position; }

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


    #heard(push) {
        if (push.operation === Op.SIGNAL) {
            try {
                this.#emit('signal', decodeItem(push.body));
            } catch (e) {
                this.#emit('error', e);
            }
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

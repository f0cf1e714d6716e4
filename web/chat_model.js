/*
 * What a messenger knows: conversations, their messages as far as they were
 * looked at, what waits to be sent, who is typing. Without a page; Im brings it
 * what comes.
 */

import { Events, hand } from './goim_events.js';
import { parseExact } from './goim_item.js';
import { checkMid } from './goim_packet.js';

const PAGE = 30;                /* items of a history that are read at a time */
const LIST = 100;               /* conversations, too */
const TYPING = 5000;            /* milliseconds that somebody's typing is shown */
const SAID = 3000;              /* ... until ours is said again */


const CHANGES = new Set(['create', 'add', 'remove', 'join', 'ask', 'answer',
    'member', 'update', 'dismiss']);


/* The conversation of two users, or a group. */
export function convOf(me, to) {
    if (to.startsWith('g')) {
        return to;
    }

    const [low, high] = BigInt(me) < BigInt(to) ? [me, to] : [to, me];

    return `p${low}.${high}`;
}


/* Whom a message goes to: the other one of a pair, or the group. */
export function toOf(me, conv) {
    if (conv.startsWith('g')) {
        return conv;
    }

    const [one, other] = conv.slice(1).split('.');

    return one === me ? other : one;
}


/* The parameters of a change of a group; null: it is a message. */
export function changeOf(item) {
    if (!CHANGES.has(item.kind) || !item.conv.startsWith('g')) {
        return null;
    }

    try {
        return parseExact(item.text()) ?? {};
    } catch {
        return {};
    }
}


/* Whether this change was the last that we were told. */
function isOut(item, me) {
    const change = changeOf(item);

    return change !== null && (item.kind === 'dismiss'
        || (item.kind === 'remove' && change.mids?.map(String).includes(me)));
}


function conversation(conv) {
    return {
        conv, n: 0, readN: 0, read: 0, at: 0, last: null,
        gone: false,            /* we are no member any more */
        items: null,            /* what was looked at, without a hole */
        first: false,           /* ... from the first one on */
        typing: new Map(),      /* by mid: until when */
        said: -Infinity,        /* when we said that we type */
        get unread() { return Math.max(0, this.n - this.readN); },
    };
}


export class Chats extends Events {
    #im;
    #all = new Map();           /* by id */
    #outgoing = new Map();      /* by the message's id */
    #shown = null;              /* the one that is looked at */
    #loading = null;


    /* Its event is change, without a detail; and error. */
    constructor(im) {
        super();

        this.#im = im;

        im.on('item', (item) => this.#item(item));
        im.on('read', (cursor) => this.#wasRead(cursor));
        im.on('signal', (signal) => this.#signal(signal));
        im.on('gap', () => this.load());
        im.on('sent', (message) => this.#answered(message, 'sent'));
        im.on('refused', (message) => this.#answered(message, 'refused'));
    }


    get me() { return this.#im.mid; }

    /* the newest first */
    get list() {
        return [...this.#all.values()].sort((a, b) => b.at - a.at);
    }

    get unread() {
        return this.list.reduce((sum, chat) => sum + chat.unread, 0);
    }


    get(conv) { return this.#all.get(conv) ?? null; }


    /* What we sent there and is not among the items yet, the oldest first. */
    outgoing(conv) {
        return [...this.#outgoing.values()].filter((m) => m.conv === conv);
    }


    /* Who is typing there. */
    typing(conv) {
        const now = Date.now();

        return [...this.get(conv)?.typing ?? []]
            .filter(([, until]) => until > now).map(([mid]) => mid);
    }


    #changed() {
        hand(this, 'change');
    }


    #failed(error) {
        hand(this, 'error', error);
    }


    /* ---- the list ---- */

    /* Read all of it; what is on its way already serves. */
    load() {
        this.#loading ??= this.#load()
            .finally(() => { this.#loading = null; });

        return this.#loading;
    }


    async #load() {
        let page = { limit: LIST };
        let list;

        await this.#im.ready;

        for (const message of this.#im.waiting) {
            this.#waits(message);
        }

        do {
            list = await this.#im.conversations(page);
            list.forEach((found) => this.#found(found));
            page = { limit: LIST, before: list.at(-1)?.at,
                conv: list.at(-1)?.conv };
        } while (list.length > 0);

        this.#changed();
        await Promise.all([...this.#all.values()]
            .filter((chat) => chat.items !== null)
            .map((chat) => this.#catchUp(chat)));
    }


    #found({ conv, n, read_n: readN, read, at, last }) {
        const chat = this.begin(conv);

        chat.readN = Math.max(chat.readN, readN);
        chat.read = Math.max(chat.read, read);

        if (last.seq >= (chat.last?.seq ?? 0)) {
            Object.assign(chat, { n, at, last });
        }
    }


    /* One that may have no item yet. */
    begin(conv) {
        if (!this.#all.has(conv)) {
            this.#all.set(conv, conversation(conv));
        }

        return this.#all.get(conv);
    }


    /* ---- one of them ---- */

    async show(conv) {
        this.#shown = conv;

        if (conv === null) {
            return;
        }

        const chat = this.begin(conv);

        if (chat.items === null && chat.last !== null) {
            await this.earlier(conv);
        }

        this.#changed();
    }


    /* The page before what we have. */
    async earlier(conv) {
        const chat = this.get(conv);
        const before = chat.items?.[0]?.seq;
        const { items } = await this.#im.history(conv, { limit: PAGE,
            ...(before === undefined ? {} : { before }) });

        chat.items ??= [];

        /* what came meanwhile stands behind it */

        const from = chat.items[0]?.seq ?? Infinity;

        chat.items.unshift(...items.filter(({ seq }) => seq < from));
        chat.first = items.length === 0 || items[0].seq === 1;
        this.#changed();
    }


    /* What came while nobody told us. */
    async #catchUp(chat) {
        for (;;) {
            const after = chat.items.at(-1)?.seq ?? 0;
            const { items } = await this.#im.history(chat.conv, { after });

            items.forEach((item) => this.#append(chat, item));

            if (items.length === 0) {
                this.#changed();
                return;
            }
        }
    }


    #append(chat, item) {
        if (item.seq === (chat.items.at(-1)?.seq ?? 0) + 1) {
            chat.items.push(item);
        }
    }


    /* The one that is looked at has been read. */
    read() {
        const chat = this.get(this.#shown);
        const seq = chat?.last?.seq ?? 0;

        if (chat === null || chat.read >= seq) {
            return;
        }

        chat.read = seq;
        chat.readN = chat.n;
        this.#im.read(chat.conv, seq).catch((e) => this.#failed(e));
        this.#changed();
    }


    /* ---- what comes ---- */

    #item(item) {
        const chat = this.begin(item.conv);

        if (item.mid === this.me) {
            this.#outgoing.delete(item.id);

            /* who answers has read what is before it */

            if (chat.readN === item.n - 1) {
                Object.assign(chat, { readN: item.n, read: item.seq });
            }
        }

        if (chat.last === null && item.seq > 1) {
            /* there is more of it than we know */
            this.load().catch((e) => this.#failed(e));
        }

        if (item.seq > (chat.last?.seq ?? 0)) {
            Object.assign(chat, { n: item.n, at: item.at, last: item });
        }

        chat.typing.delete(item.mid);
        chat.gone = isOut(item, this.me);

        if (chat.items === null && item.seq === 1) {
            Object.assign(chat, { items: [], first: true });
        }

        if (chat.items !== null) {
            this.#append(chat, item);

            if (chat.items.at(-1)?.seq < item.seq) {
                this.#catchUp(chat).catch((e) => this.#failed(e));
            }
        }

        this.#changed();
    }


    /* By this device or another one of ours. */
    #wasRead({ conv, read, read_n: readN }) {
        const chat = this.begin(conv);

        chat.read = Math.max(chat.read, read);
        chat.readN = Math.max(chat.readN, readN);
        this.#changed();
    }


    #signal({ conv, mid, kind }) {
        const chat = this.get(conv);

        if (chat !== null && kind === 'typing' && mid !== this.me) {
            chat.typing.set(mid, Date.now() + TYPING);
            setTimeout(() => this.#changed(), TYPING + 50);
            this.#changed();
        }
    }


    /* ---- what goes ---- */

    async send(conv, text) {
        const id = crypto.randomUUID();
        const to = toOf(this.me, conv);

        this.#waits({ to, id, body: new TextEncoder().encode(text),
            made: Date.now() });
        this.begin(conv).said = -Infinity;
        this.#changed();

        /* what becomes of it is told by sent and refused */

        await this.#im.send(to, text, { id }).catch((error) => {
            if (error.code === 'argument' || error.code === 'busy') {
                this.#answered({ id, error }, 'refused');
            }
        });
    }


    #waits({ to, id, body, made }) {
        const conv = convOf(this.me, to);
        const chat = this.begin(conv);

        chat.at = Math.max(chat.at, made);
        this.#outgoing.set(id, { id, conv, at: made, mid: this.me,
            state: 'waiting', text: () => new TextDecoder().decode(body) });
    }


    #answered({ id, seq, error }, state) {
        const message = this.#outgoing.get(id);

        if (message === undefined) {
            return;
        }

        if (this.get(message.conv).last?.seq >= seq) {
            this.#outgoing.delete(id);          /* it came before its answer */
        } else {
            Object.assign(message, { state, reason: error?.message });
        }

        this.#changed();
    }


    /* A message that was refused need not stand there. */
    forget(id) {
        this.#outgoing.delete(id);
        this.#changed();
    }


    /* We are typing; said now and then, and only when somebody can hear it. */
    type(conv) {
        const chat = this.get(conv);
        const now = Date.now();

        if (chat !== null && now - chat.said > SAID
            && this.#im.client.state === 'open')
        {
            chat.said = now;
            this.#im.signal(toOf(this.me, conv), 'typing');
        }
    }


    /* A group of ours; `name` is its id. Resolves with the conversation. */
    async group(name, mids) {
        const { conv } = await this.#im.do('group/create',
            { id: name, mids: mids.map(checkMid) });

        this.begin(conv);

        return conv;
    }


    members(conv) {
        return this.#im.do('group/members', { conv });
    }


    add(conv, mid) {
        return this.#im.do('group/add', { conv, mids: [checkMid(mid)] });
    }


    leave(conv) {
        return this.#im.do('group/remove', { conv, mids: [this.me] });
    }
}

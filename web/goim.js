/*
 * A client of ngx_goim, and of goim, over WebSocket: packets, batches,
 * heartbeat, reconnect. README.md tells how to use it, docs/protocol.md what
 * it speaks.
 */

import { Nodes, backoffDelay, checkBackoff } from './goim_nodes.js';
import {
    GoimError, Op, checkAccepts, checkMid, checkName, checkOperations,
    checkRoom, decodeOnline, decodePackets, encodeAuth, encodeBody,
    encodePacket,
} from './goim_packet.js';

export { GoimError, Op };

/* operations whose answer is another operation; all others answer as asked */
const ANSWER = new Map([
    [Op.HEARTBEAT, Op.HEARTBEAT_REPLY], [Op.SEND, Op.SEND_REPLY],
    [Op.CHANGE_ROOM, Op.CHANGE_ROOM_REPLY], [Op.SUB, Op.SUB_REPLY],
    [Op.UNSUB, Op.UNSUB_REPLY],
]);

/* send() leaves these to the client itself */
const RESERVED = new Set([
    Op.HEARTBEAT, Op.HEARTBEAT_REPLY, Op.AUTH, Op.AUTH_REPLY, Op.RAW,
    Op.CHANGE_ROOM, Op.SUB, Op.UNSUB,
]);

const HEARTBEAT = 30000;            /* when no list of nodes tells */
const MAX_PENDING = 1000;           /* requests without an answer */
const MAX_BUFFERED = 1024 * 1024;   /* bytes the socket did not take yet */
const MAX_SEQUENCE = 0x7fffffff;

const DEFAULTS = {
    url: null,
    nodesUrl: null,
    path: '/sub',
    secure: null,
    mid: 0,
    key: null,
    room: '',
    accepts: [],
    platform: 'web',
    token: null,
    heartbeat: null,
    heartbeatTimeout: 10000,
    connectTimeout: 10000,
    requestTimeout: 10000,
    backoff: null,
    WebSocket: null,
    fetch: null,
};


function randomKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));

    return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}


/* ---- the client ---- */

export class GoimClient extends EventTarget {
    #options;
    #key;
    #room;                  /* what we want to be in */
    #accepts;
    #state = 'closed';
    #online = null;

    #run = 0;               /* tells this attempt's events from older ones' */
    #socket = null;
    #joined = null;         /* what our auth said: { room, accepts } */
    #opened = 0;            /* when auth was answered */
    #failures = 0;
    #lastAttempt = 0;
    #retryAt = null;
    #timer = null;          /* of the attempt or the wait */
    #waiters = [];          /* of connect() */

    #sequence = 0;
    #pending = new Map();

    #beatTimer = null;
    #beatSent = 0;          /* when, if it is not answered yet, or 0 */
    #beatDue = 0;
    #beatLate = false;      /* it was given time once more */
    #heard = 0;             /* when anything came */

    #nodes;
    #url = null;


    constructor(options = {}) {
        super();

        const o = { ...DEFAULTS, ...options };

        if (!o.url && !o.nodesUrl) {
            throw new GoimError('argument', 'url or nodesUrl is needed');
        }

        o.WebSocket ??= globalThis.WebSocket;
        o.fetch ??= globalThis.fetch?.bind(globalThis);
        o.secure ??= globalThis.location?.protocol !== 'http:';

        if (!o.WebSocket) {
            throw new GoimError('unsupported', 'there is no WebSocket');
        }

        checkMid(o.mid);

        this.#options = o;
        this.#nodes = new Nodes(o, (error) => this.#error(error));
        this.#key = checkName(o.key ?? randomKey());
        this.#room = checkRoom(o.room);
        this.#accepts = checkAccepts(o.accepts);
    }


    /* connecting, auth, open, waiting, closed */
    get state() { return this.#state; }

    get key() { return this.#key; }
    get mid() { return this.#options.mid; }
    get room() { return this.#room; }
    get accepts() { return [...this.#accepts]; }

    /* the number online in the room, as last heard; null: not yet */
    get online() { return this.#online; }

    /* of the connection or the last attempt */
    get url() { return this.#url; }

    /* Date.now() of the next attempt while waiting, else null */
    get retryAt() { return this.#retryAt; }


    /* Call `listener` with the event's detail; returns what undoes it. */
    on(type, listener) {
        const handler = (event) => listener(event.detail);

        this.addEventListener(type, handler);

        return () => this.removeEventListener(type, handler);
    }


    /*
     * Connect and stay connected until close(). Resolves when open for the
     * first time; rejects when that can no longer come: closed, denied,
     * replaced.
     */
    connect() {
        if (this.#state === 'open') {
            return Promise.resolve();
        }

        const promise = new Promise((resolve, reject) => {
            this.#waiters.push({ resolve, reject });
        });

        promise.catch(() => {});    /* the events tell it too */

        if (this.#state === 'closed') {
            this.#failures = 0;
            this.#watch(true);
            this.#attempt();
        }

        return promise;
    }


    close() {
        if (this.#state !== 'closed') {
            this.#finish(new GoimError('closed', 'closed by the application'));
        }
    }


    /* Do not wait any longer. */
    retry() {
        if (this.#state === 'waiting') {
            this.#attempt();
        }
    }


    /*
     * Enter a room, or leave with ''. true: the server answered; false: there
     * is no connection now, the next one starts in this room. Rejects with
     * 'refused' when the application does not let us in: we stay where we are.
     */
    async changeRoom(room) {
        const wanted = checkRoom(room);
        const body = encodeBody(wanted);

        this.#room = wanted;

        if (this.#state !== 'open') {
            return false;
        }

        this.#online = null;
        const is = (await this.#request(Op.CHANGE_ROOM, body)).text();
        this.#beat();

        if (is !== wanted) {
            if (this.#room === wanted) {
                this.#room = is;
            }
            throw new GoimError('refused', `not let into ${wanted}`);
        }

        return true;
    }


    /* Get pushes of these operations too; results as changeRoom()'s. */
    sub(operations) {
        return this.#accept(checkOperations(operations), Op.SUB);
    }


    unsub(operations) {
        return this.#accept(checkOperations(operations), Op.UNSUB);
    }


    /*
     * Send a packet to the application behind the server; body is text or
     * bytes. Resolves with the answer, { operation, body, text() }.
     */
    async send(operation, body) {
        const [op] = checkOperations([operation]);

        if (RESERVED.has(op)) {
            throw new GoimError('argument', `operation ${op} is the client's`);
        }

        if (this.#state !== 'open') {
            throw new GoimError('closed', 'not connected');
        }

        return this.#request(op, encodeBody(body));
    }


    /* Ask for the number online now. */
    async heartbeat() {
        if (this.#state !== 'open') {
            throw new GoimError('closed', 'not connected');
        }

        return decodeOnline(await this.#request(Op.HEARTBEAT));
    }


    /* ---- events ---- */

    #emit(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }


    #setState(state, detail = {}) {
        this.#state = state;
        this.#emit('state', { state, ...detail });
    }


    #error(error) {
        this.#emit('error', error);
    }


    /* ---- an attempt ---- */

    async #attempt() {
        const run = ++this.#run;
        const o = this.#options;
        let url, token;

        clearTimeout(this.#timer);
        this.#retryAt = null;
        this.#lastAttempt = performance.now();

        this.#timer = setTimeout(() => {
            this.#lost(new GoimError('timeout', 'no connection in time'));
        }, o.connectTimeout);

        this.#setState('connecting', { attempt: this.#failures + 1 });

        if (run !== this.#run) {
            return;                 /* a listener closed it */
        }

        try {
            url = await this.#nodes.url();
            token = typeof o.token === 'function' ? await o.token() : o.token;

            if (run === this.#run) {
                this.#open(run, url, token);
            }

        } catch (e) {
            if (run === this.#run) {
                this.#lost(e instanceof GoimError ? e
                    : new GoimError('lost', e.message, { cause: e }));
            }
        }
    }


    #open(run, url, token) {
        const socket = new this.#options.WebSocket(url);

        this.#url = url;
        this.#socket = socket;
        socket.binaryType = 'arraybuffer';

        socket.onopen = () => {
            if (run === this.#run) {
                this.#authenticate(token);
            }
        };

        socket.onmessage = (event) => {
            if (run === this.#run) {
                this.#receive(run, event.data);
            }
        };

        socket.onerror = () => {};      /* onclose tells */

        socket.onclose = (event) => {
            if (run === this.#run) {
                this.#closed(event.code, event.reason);
            }
        };
    }


    #authenticate(token) {
        const fields = {
            mid: this.#options.mid,
            key: this.#key,
            room_id: this.#room,
            platform: this.#options.platform,
            accepts: [...this.#accepts],
        };

        if (token !== null && token !== undefined) {
            fields.token = token;
        }

        this.#joined = { room: this.#room, accepts: new Set(this.#accepts) };
        this.#socket.send(encodePacket(Op.AUTH, this.#nextSequence(),
            encodeAuth(fields)));
        this.#setState('auth');
    }


    #authenticated() {
        const waiters = this.#waiters;

        clearTimeout(this.#timer);

        this.#waiters = [];
        this.#opened = performance.now();
        this.#setState('open', { url: this.#url });

        for (const w of waiters) {
            w.resolve();
        }

        if (this.#state === 'open') {
            this.#catchUp();
            this.#beat();
        }
    }


    /* What was asked for between our auth packet and its answer. */
    #catchUp() {
        const known = this.#joined;
        const more = [...this.#accepts].filter((x) => !known.accepts.has(x));
        const less = [...known.accepts].filter((x) => !this.#accepts.has(x));
        const report = (e) => this.#error(e);

        if (known.room !== this.#room) {
            this.changeRoom(this.#room).catch(report);
        }

        if (more.length > 0) {
            this.sub(more).catch(report);
        }

        if (less.length > 0) {
            this.unsub(less).catch(report);
        }
    }


    async #accept(ops, operation) {
        const body = encodeBody(ops.join(','));

        if (operation === Op.SUB) {
            this.#accepts = checkAccepts([...this.#accepts, ...ops]);
        } else {
            ops.forEach((op) => this.#accepts.delete(op));
        }

        if (this.#state !== 'open' || ops.length === 0) {
            return false;
        }

        await this.#request(operation, body);

        return true;
    }


    /* ---- what comes ---- */

    #receive(run, data) {
        if (typeof data === 'string') {
            this.#error(new GoimError('malformed', 'a text message'));
            return;
        }

        this.#heard = performance.now();

        for (const packet of this.#decode(new Uint8Array(data))) {

            /* a listener may have closed or reconnected */

            if (run !== this.#run) {
                return;
            }

            if (packet.operation !== Op.RAW) {
                this.#reply(packet);
                continue;
            }

            for (const push of this.#decode(packet.body)) {
                if (run !== this.#run) {
                    return;
                }

                this.#emit('message', push);
            }
        }
    }


    #decode(bytes) {
        const { packets, error } = decodePackets(bytes);

        if (error !== null) {
            this.#error(new GoimError('malformed', error));
        }

        return packets;
    }


    #reply(packet) {
        const request = this.#pending.get(packet.sequence);

        if (packet.operation === Op.AUTH_REPLY && this.#state === 'auth') {
            this.#authenticated();
            return;
        }

        if (packet.operation === Op.HEARTBEAT_REPLY) {
            this.#beaten(packet);
        }

        if (request && request.answer === packet.operation) {
            this.#pending.delete(packet.sequence);
            clearTimeout(request.timer);
            request.resolve(packet);
            return;
        }

        /* a push of a server that does not wrap them has no number */

        if (packet.sequence === 0 && packet.operation !== Op.HEARTBEAT_REPLY) {
            this.#emit('message', packet);
        }
    }


    /* ---- requests ---- */

    #nextSequence() {
        this.#sequence = this.#sequence % MAX_SEQUENCE + 1;

        return this.#sequence;
    }


    #request(operation, body) {
        return new Promise((resolve, reject) => {
            if (this.#pending.size >= MAX_PENDING
                || this.#socket.bufferedAmount > MAX_BUFFERED)
            {
                throw new GoimError('busy', 'too much waits for the server');
            }

            const sequence = this.#nextSequence();

            const timer = setTimeout(() => {
                this.#pending.delete(sequence);
                reject(new GoimError('timeout',
                    `no answer to operation ${operation}`));
            }, this.#options.requestTimeout);

            this.#pending.set(sequence, {
                answer: ANSWER.get(operation) ?? operation,
                resolve, reject, timer,
            });

            this.#socket.send(encodePacket(operation, sequence, body));
        });
    }


    /* ---- heartbeat ---- */

    #interval() {
        const told = this.#nodes.heartbeat ?? HEARTBEAT;

        return Math.min(this.#options.heartbeat ?? told, told);
    }


    /* Send one now, unless one is on its way. */
    #beat() {
        if (this.#beatSent !== 0 || this.#state !== 'open') {
            return;
        }

        this.#beatSent = performance.now();
        this.#beatLate = false;
        this.#armBeat(this.#options.heartbeatTimeout);
        this.#socket.send(encodePacket(Op.HEARTBEAT, this.#nextSequence()));
    }


    #armBeat(delay) {
        clearTimeout(this.#beatTimer);
        this.#beatDue = performance.now() + delay;
        this.#beatTimer = setTimeout(() => this.#beatTime(), delay);
    }


    #beatTime() {
        const now = performance.now();
        const timeout = this.#options.heartbeatTimeout;

        if (this.#beatSent === 0) {
            this.#beat();
            return;
        }

        /*
         * A timer long overdue: the machine slept, and the answer may be what
         * is read next. Or the answer stands behind much that still comes.
         */

        if (now - this.#beatDue > timeout && !this.#beatLate) {
            this.#beatLate = true;
            this.#beatSent = now;
            this.#armBeat(timeout);
            return;
        }

        if (now - this.#heard < timeout && now - this.#beatSent < 3 * timeout) {
            this.#armBeat(timeout);
            return;
        }

        this.#lost(new GoimError('timeout', 'no answer to the heartbeat'));
    }


    #beaten(packet) {
        this.#beatSent = 0;
        this.#armBeat(this.#interval());

        const count = decodeOnline(packet);

        if (count === null) {
            this.#error(new GoimError('malformed', 'heartbeat answer'));
            return;
        }

        this.#online = count;
        this.#emit('online', count);
    }


    /* ---- the end of a connection ---- */

    #closed(code, reason) {
        const why = reason === '' ? `code ${code}` : `code ${code}: ${reason}`;

        if (code === 1008 && reason === 'replaced') {
            this.#finish(new GoimError('replaced',
                'a newer connection has the same key'));
            return;
        }

        if (code === 1008 && reason === 'auth refused') {
            this.#finish(new GoimError('denied', 'auth was refused'));
            return;
        }

        this.#lost(new GoimError('lost', `connection closed, ${why}`));
    }


    #drop(error) {
        const socket = this.#socket;

        this.#run++;
        this.#socket = null;
        this.#online = null;
        this.#beatSent = 0;
        this.#retryAt = null;
        clearTimeout(this.#timer);
        clearTimeout(this.#beatTimer);

        if (socket !== null) {
            socket.onopen = socket.onmessage = socket.onclose = null;
            socket.close(1000);
        }

        const pending = [...this.#pending.values()];

        this.#pending.clear();

        for (const request of pending) {
            clearTimeout(request.timer);
            request.reject(error);
        }
    }


    #lost(error) {
        const backoff = checkBackoff(this.#options.backoff,
            this.#nodes.backoff);
        const wasOpen = this.#state === 'open';

        this.#drop(error);

        if (wasOpen) {
            const wait = backoffDelay({ ...backoff, jitter: 0 },
                this.#failures, () => 1);

            /* a connection that outlived its wait was a good one */

            if (performance.now() - this.#opened > wait) {
                this.#failures = 0;
            }

            this.#nodes.expire();
        }

        this.#wait(backoffDelay(backoff, this.#failures++), error);
    }


    #wait(delay, error) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#attempt(), delay);
        this.#retryAt = Date.now() + delay;
        this.#setState('waiting', { delay, retryAt: this.#retryAt, error });
    }


    #finish(error) {
        const waiters = this.#waiters;

        this.#drop(error);
        this.#waiters = [];
        this.#watch(false);
        this.#setState('closed', { error });

        for (const w of waiters) {
            w.reject(error);
        }

        if (error.code === 'replaced' || error.code === 'denied') {
            this.#emit(error.code, error);
        }
    }


    /* ---- the browser's network and window ---- */

    #watch(on) {
        const how = on ? 'addEventListener' : 'removeEventListener';

        globalThis[how]?.('online', this.#wake);
        globalThis[how]?.('offline', this.#wake);
        globalThis.document?.[how]('visibilitychange', this.#wake);
    }


    /*
     * Something changed: a sleeping connection is tried, a wait is cut short.
     * Attempts stay at least baseDelay apart, and a little chance keeps
     * windows that woke together from coming together.
     */
    #wake = (event) => {
        if (globalThis.document?.visibilityState === 'hidden'
            && event.type === 'visibilitychange')
        {
            return;
        }

        if (this.#state === 'open') {
            this.#beat();
            return;
        }

        if (this.#state !== 'waiting' || event.type === 'offline') {
            return;
        }

        const { baseDelay } = checkBackoff(this.#options.backoff,
            this.#nodes.backoff);
        const early = this.#lastAttempt + baseDelay - performance.now();
        const delay = Math.max(0, early)
            + Math.random() * Math.min(baseDelay, 1000);

        if (Date.now() + delay < this.#retryAt) {
            this.#wait(delay);
        }
    };
}

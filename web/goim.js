/*
 * A client of ngx_goim, and of goim, over WebSocket: packets, batches,
 * heartbeat, reconnect, recovery. README.md tells how to use it,
 * docs/protocol.md what it speaks.
 */

import { Events, hand } from './goim_events.js';
import { Heartbeat } from './goim_heartbeat.js';
import { Nodes, backoffDelay, checkBackoff } from './goim_nodes.js';
import { checkOptions } from './goim_options.js';
import {
    EXPIRED, EXPIRES, GoimError, Op, RESERVED, checkAccepts, checkOperations,
    checkRoom, comesBack, decodeOnline, decodePackets, encodeAuth, encodeBody,
    encodePacket, parseWord,
} from './goim_packet.js';
import { Places } from './goim_recover.js';
import { Requests, refused } from './goim_requests.js';
import { checkSent, encodeSend } from './goim_send.js';
import { Timelines } from './goim_timelines.js';
import { Token } from './goim_token.js';
import { Wake } from './goim_wake.js';

export { GoimError, Op };

const MAX_BUFFERED = 1024 * 1024;   /* bytes the socket did not take yet */


/* ---- the client ---- */

export class GoimClient extends Events {
    #options;
    #room;                  /* what we want to be in */
    #accepts;
    #state = 'closed';
    #online = null;
    #timelines;

    #run = 0;               /* tells this attempt's events from older ones' */
    #socket = null;
    #joined = null;         /* what our auth said: { room, accepts } */
    #opened = 0;            /* when auth was answered */
    #failures = 0;
    #hurried = -Infinity;   /* when it last came back at once */
    #lastAttempt = 0;
    #retryAt = null;
    #timer = null;          /* of the attempt or the wait */
    #waiters = [];          /* of connect() */

    #requests;
    #heartbeat;
    #nodes;
    #token;
    #wake;
    #url = null;


    constructor(options = {}) {
        super();

        const o = checkOptions(options);
        const report = (error) => this.#error(error);

        this.#options = o;
        this.#room = o.room;
        this.#accepts = o.accepts;

        this.#nodes = new Nodes(o, report);
        this.#requests = new Requests(o.requestTimeout);
        this.#token = new Token(o.token, (token) => this.#renew(token), report);
        this.#wake = new Wake((offline) => this.#woken(offline));

        this.#heartbeat = new Heartbeat({
            timeout: o.heartbeatTimeout,
            interval: () => this.#nodes.heartbeat,
            send: () => this.#socket.send(encodePacket(Op.HEARTBEAT,
                this.#requests.nextSequence())),
            dead: () => this.#lost(new GoimError('timeout',
                'no answer to the heartbeat')),
        });

        this.#timelines = new Timelines(o.recover
            ? new Places({ ...o, mid: o.who }, report) : null);
    }


    /* connecting, auth, open, waiting, closed */
    get state() { return this.#state; }

    get key() { return this.#options.key; }
    get mid() { return this.#options.mid; }
    get room() { return this.#room; }
    get accepts() { return [...this.#accepts]; }

    /* the number online in the room, as last heard; null: not yet */
    get online() { return this.#online; }

    /* { epoch, seq }: the room's items up to there are done with; or null */
    get position() {
        return this.#timelines.rooms?.position(this.#room) ?? null;
    }

    /* of the connection or the last attempt */
    get url() { return this.#url; }

    /* Date.now() of the next attempt while waiting, else null */
    get retryAt() { return this.#retryAt; }


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
            this.#wake.watch(true);
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
     * 'refused' when we are not let in: we stay where we are.
     * Who recovers goes on where it was in that room, or where `start` says:
     * { position } or { last }.
     */
    async changeRoom(room, start = {}) {
        const wanted = checkRoom(room);
        const { rooms } = this.#timelines;

        rooms?.ask(wanted, start);

        const body = encodeBody(wanted === '' || rooms === null ? wanted
            : JSON.stringify({ [wanted]: rooms.entry(wanted) }));

        this.#room = wanted;

        if (this.#state !== 'open') {
            return false;
        }

        this.#online = null;
        const answer = await this.#ask(Op.CHANGE_ROOM, body);
        const is = answer.text();
        this.#beat();

        if (is !== wanted) {
            if (this.#room === wanted) {
                this.#room = is;
            }
            throw refused(answer, `not let into ${wanted}`);
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
        const answer = await this.#ask(this.#sendable(operation),
            encodeBody(body));

        if (answer.refusal) {
            throw refused(answer);
        }

        return answer;
    }


    /* The same for what has no answer. */
    tell(operation, body) {
        this.#write(this.#sendable(operation), encodeBody(body));
    }


    #sendable(operation) {
        const [op] = checkOperations([operation]);

        if (RESERVED.has(op)) {
            throw new GoimError('argument', `operation ${op} is the client's`);
        }

        if (this.#state !== 'open') {
            throw new GoimError('closed', 'not connected');
        }

        return op;
    }


    /*
     * Send a message to a room or to users, where the token or the application
     * lets this connection: { to } or { mids }, operation (1000) and id.
     * Resolves when it is on its way; rejects with what was refused, whose
     * `status` is the code, and `after` the ms until it may work.
     */
    async post(where, payload) {
        checkSent(await this.send(Op.SEND, encodeSend(where, payload)));
    }


    /* Ask for the number online now. */
    async heartbeat() {
        if (this.#state !== 'open') {
            throw new GoimError('closed', 'not connected');
        }

        return decodeOnline(await this.#ask(Op.HEARTBEAT));
    }


    /* Recover an inbox, too: from the next connection on; events are inbox. */
    follow(places) {
        this.#timelines.follow(places);
    }


    /* ---- events ---- */

    #emit(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }


    /* An event that moves us to `at` in a timeline when it is done with. */
    #hand({ places, type, detail, room, at }) {
        places.handed(room, at,
            type === undefined ? [] : hand(this, type, detail));
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
            token = await this.#token.get();

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
            key: this.#options.key,
            room_id: this.#room,
            platform: this.#options.platform,
            accepts: [...this.#accepts],
        };

        if (token !== null && token !== undefined) {
            fields.token = token;
        }

        if (this.#options.errors) {
            fields.errors = 1;
        }

        const recover = this.#timelines.begin(this.#room);

        if (recover !== null) {
            fields.recover = recover;
        }

        this.#joined = { room: this.#room, accepts: new Set(this.#accepts) };
        this.#socket.send(encodePacket(Op.AUTH, this.#requests.nextSequence(),
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
        const fresh = ops.filter((op) => !this.#accepts.has(op));

        if (operation === Op.SUB) {
            this.#accepts = checkAccepts([...this.#accepts, ...ops]);
        } else {
            ops.forEach((op) => this.#accepts.delete(op));
        }

        if (this.#state !== 'open' || ops.length === 0) {
            return false;
        }

        const answer = await this.#ask(operation, body);

        if (answer.refusal) {
            fresh.forEach((op) => this.#accepts.delete(op));
            throw refused(answer);
        }

        return true;
    }


    /* Show the server a new token; what it no longer grants comes as refused. */
    async #renew(token) {
        const answer = await this.#ask(Op.AUTH,
            encodeBody(JSON.stringify({ token })));

        if (answer.operation !== Op.AUTH_REPLY) {
            throw refused(answer, 'the new token was not taken');
        }
    }


    /* ---- what comes ---- */

    #receive(run, data) {
        if (typeof data === 'string') {
            this.#error(new GoimError('malformed', 'a text message'));
            return;
        }

        this.#heartbeat.heard();

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

                this.#push(push);
            }
        }
    }


    #push(packet) {
        if (!this.#timelines.has(packet)) {
            this.#emit('message', packet);
            return;
        }

        this.#follow(() => {
            const step = this.#timelines.item(packet);

            if (step !== null) {
                this.#hand(step);
            }
        });
    }


    /* Whoever can't follow comes back, with the position that it has. */
    #follow(step) {
        try {
            step();
        } catch (e) {
            this.#lost(e);
        }
    }


    #told(packet) {
        this.#follow(() => {
            for (const step of this.#timelines.told(packet.text())) {
                this.#hand(step);
            }
        });
    }


    /* Operation 6, by which a node speaks of its own accord. */
    #word(packet) {
        this.#follow(() => {
            const word = parseWord(packet.text());

            if (word.code > 0) {
                this.#closed(word.code, word.reason, word.again);

            } else if (word.code === EXPIRES) {
                this.#token.ends(word.in);

            } else {
                this.#refused(word);
            }
        });
    }


    /* A request of ours; or, without one, something that we had. */
    #refused(word) {
        if (word.seq !== 0) {
            this.#requests.refused(word);

        } else if (word.operation === Op.CHANGE_ROOM) {
            this.#room = '';
            this.#online = null;

        } else if (word.operation === Op.SUB) {
            word.operations?.forEach((op) => this.#accepts.delete(op));
        }

        this.#emit('refused', word);
    }


    #decode(bytes) {
        const { packets, error } = decodePackets(bytes);

        if (error !== null) {
            this.#error(new GoimError('malformed', error));
        }

        return packets;
    }


    #reply(packet) {
        if (packet.operation === Op.AUTH_REPLY && this.#state === 'auth') {
            this.#authenticated();
            return;
        }

        if (packet.operation === Op.HEARTBEAT_REPLY) {
            this.#beaten(packet);
        }

        if (this.#requests.answered(packet) || packet.sequence !== 0
            || packet.operation === Op.HEARTBEAT_REPLY)
        {
            return;
        }

        const recovers = this.#timelines.any;

        if (recovers && packet.operation === Op.POSITION) {
            this.#told(packet);

        } else if (packet.operation === Op.DISCONNECT
            && (recovers || this.#options.errors))
        {
            this.#word(packet);

        } else {
            /* a push of a server that does not wrap them */
            this.#emit('message', packet);
        }
    }


    /* ---- requests ---- */

    /* The answer; with `refusal`, if that came before it. */
    async #ask(operation, body) {
        return this.#requests.expect(operation, this.#write(operation, body));
    }


    #write(operation, body) {
        if (this.#requests.full || this.#socket.bufferedAmount > MAX_BUFFERED) {
            throw new GoimError('busy', 'too much waits for the server');
        }

        const sequence = this.#requests.nextSequence();

        this.#socket.send(encodePacket(operation, sequence, body));

        return sequence;
    }


    /* ---- heartbeat ---- */

    #beat() {
        if (this.#state === 'open') {
            this.#heartbeat.beat();
        }
    }


    #beaten(packet) {
        this.#heartbeat.answered();

        const count = decodeOnline(packet);

        if (count === null) {
            this.#error(new GoimError('malformed', 'heartbeat answer'));
            return;
        }

        this.#online = count;
        this.#emit('online', count);
    }


    /* ---- the end of a connection ---- */

    #closed(code, reason, again = comesBack(code)) {
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

        if (code === EXPIRED && this.#token.changes) {
            this.#lost(new GoimError('lost', 'the token has expired'));
            return;
        }

        if (!again || code === EXPIRED) {
            this.#finish(Object.assign(new GoimError('denied',
                `not to come back, ${why}`), { status: code, reason }));
            return;
        }

        this.#lost(new GoimError('lost', `connection closed, ${why}`),
            code === 1012 && this.#timelines.any);
    }


    #drop(error) {
        const socket = this.#socket;

        this.#run++;
        this.#socket = null;
        this.#online = null;
        this.#retryAt = null;
        clearTimeout(this.#timer);
        this.#heartbeat.stop();
        this.#token.stop();

        if (socket !== null) {
            socket.onopen = socket.onmessage = socket.onclose = null;
            socket.close(1000);
        }

        this.#requests.reject(error);
    }


    /* soon: come back at once, and elsewhere, but not again and again */
    #lost(error, soon = false) {
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

        if (soon) {
            const last = this.#hurried;

            this.#hurried = performance.now();
            this.#nodes.leave();

            if (this.#hurried - last >= backoff.baseDelay) {
                this.#wait(0, error);
                return;
            }
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
        this.#wake.watch(false);
        this.#setState('closed', { error });

        for (const w of waiters) {
            w.reject(error);
        }

        if (error.code === 'replaced' || error.code === 'denied') {
            this.#emit(error.code, error);
        }
    }


    /* ---- the browser's network and window ---- */

    /*
     * Something changed: a sleeping connection is tried, a wait is cut short.
     * Attempts stay at least baseDelay apart, and a little chance keeps
     * windows that woke together from coming together.
     */
    #woken(offline) {
        this.#beat();

        if (this.#state !== 'waiting' || offline) {
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
    }
}

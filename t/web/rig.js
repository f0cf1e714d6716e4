/*
 * Clients of the server that does wrong to order: rogue.pl, on the port that
 * the page's address names, unit.html?rogue=PORT.
 */

import { GoimClient, Op } from '/goim.js';
import { encodeBody, encodePacket } from '/goim_packet.js';
import { concat } from './lib.js';

const port = new URLSearchParams(location.search).get('rogue');
const { setTimeout, clearTimeout } = globalThis;        /* not byClock()'s */
const PATIENCE = 20000;

let ids = 0;


/*
 * The next event of a client for which accept(detail) holds. Who has waited for
 * anything since what causes it may have missed it.
 */
export function next(client, type, accept = () => true) {
    return new Promise((resolve, reject) => {
        const off = client.on(type, (detail) => {
            if (accept(detail)) {
                off();
                clearTimeout(timer);
                resolve(detail);
            }
        });

        const timer = setTimeout(() => {
            off();
            reject(new Error(`no event ${type}`));
        }, PATIENCE);
    });
}


export function inState(client, state) {
    return client.state === state ? Promise.resolve()
        : next(client, 'state', (d) => d.state === state);
}


/*
 * A client of the rogue server; flags are those of its /sub. With
 * options.list a list of nodes with these flags is used.
 */
export function rogue(flags = '', options = {}) {
    const id = `${Date.now()}-${++ids}`;
    const base = `http://127.0.0.1:${port}`;
    const path = `/sub?id=${id}&${flags}`;
    const { list, ...rest } = options;
    let done = Promise.resolve();

    /* one after the other: the answer to `what` */

    const ask = (what, init) => {
        done = done.then(() => fetch(`${base}/${what}?id=${id}`, init));
        return done;
    };

    const client = new GoimClient({
        ...(list === undefined ? { url: `ws://127.0.0.1:${port}${path}` }
            : { nodesUrl: `${base}/nodes?id=${id}&${list}`, path }),
        secure: false,
        backoff: { baseDelay: 1 },
        ...rest,
    });

    return {
        client,

        /*
         * Nobody waits for it: what it causes may come before its answer, and
         * is listened for before anything else is waited for.
         */
        act(...actions) {
            ask('do', { method: 'POST', body: JSON.stringify(actions) });
        },

        log: async () => (await ask('log')).json(),

        /* what the server saw, as soon as accept(log) is true of it */
        async saw(accept) {
            for (let i = 0; i < PATIENCE / 20; i++) {
                const log = await this.log();

                if (accept(log)) {
                    return log;
                }

                await pause(20);
            }

            throw new Error('the server did not see it');
        },
    };
}


export function pause(ms) {
    return new Promise((resolve) => { setTimeout(resolve, ms); });
}


/*
 * Run a test by a clock that stands until the test moves it: times and timers
 * of all but this file are the clock's.
 */
export async function byClock(run) {
    const { now } = performance;
    const timers = new Map();
    let time = performance.now();
    let n = 0;

    const clock = {
        move(ms) {
            const end = time + ms;
            const due = () => [...timers].filter(([, t]) => t.at <= end)
                .sort(([, a], [, b]) => a.at - b.at)[0];

            for (let first = due(); first; first = due()) {
                timers.delete(first[0]);
                time = first[1].at;
                first[1].call();
            }

            time = end;
        },
    };

    performance.now = () => time;
    globalThis.setTimeout = (call, delay = 0) => {
        timers.set(--n, { call, at: time + delay });
        return n;
    };
    globalThis.clearTimeout = (id) => timers.delete(id) || clearTimeout(id);

    try {
        await run(clock);
    } finally {
        Object.assign(globalThis, { setTimeout, clearTimeout });
        performance.now = now;
    }
}


export function binary(packet) {
    return ['binary', Array.from(packet,
        (b) => b.toString(16).padStart(2, '0')).join('')];
}


export function batch(...packets) {
    return encodePacket(Op.RAW, 0, concat(...packets));
}


export function message(body, op = 1) {
    return encodePacket(op, 0, encodeBody(body));
}


/* Collect what a client says, and wait for the message "end". */
export function collect(client) {
    const got = { errors: [], messages: [], states: [] };

    client.on('error', (e) => got.errors.push(e.code));
    client.on('message', (m) => got.messages.push(m.text()));
    client.on('state', (d) => got.states.push(d.state));
    got.end = next(client, 'message', (m) => m.text() === 'end');

    return got;
}


export const end = () => binary(batch(message('end')));

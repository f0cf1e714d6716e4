/*
 * Where to connect and how long to wait: the answer of /goim/nodes/weighted,
 * and the backoff it asks for. Times are in milliseconds.
 */

import { GoimError } from './goim_packet.js';

const MAX_NODES = 100;
const HEARTBEAT = 30000;            /* when no list tells */

const BACKOFF = Object.freeze({
    maxDelay: 300000, baseDelay: 3000, factor: 1.8, jitter: 0.3,
});


function number(value, low, high, otherwise) {
    return typeof value === 'number' && value >= low && value <= high
        ? value : otherwise;
}


/* A whole backoff: what is missing or makes no sense has its default. */
export function checkBackoff(b, otherwise = BACKOFF) {
    return {
        maxDelay: number(b?.maxDelay, 100, 86400000, otherwise.maxDelay),
        baseDelay: number(b?.baseDelay, 1, 3600000, otherwise.baseDelay),
        factor: number(b?.factor, 1, 100, otherwise.factor),
        jitter: number(b?.jitter, 0, 1, otherwise.jitter),
    };
}


/*
 * How long to wait after so many failures. The first wait is drawn from the
 * whole of baseDelay: clients that lose one node at once come back spread.
 */
export function backoffDelay(backoff, failures, random = Math.random) {
    const b = checkBackoff(backoff);

    if (failures <= 0) {
        return b.baseDelay * random();
    }

    const delay = Math.min(b.baseDelay * b.factor ** (failures - 1),
        b.maxDelay);

    return delay * (1 + b.jitter * (2 * random() - 1));
}


/* null: it is no such answer. */
export function parseNodes(answer) {
    const data = answer?.code === 0 ? answer.data : null;

    if (data === null || typeof data !== 'object') {
        return null;
    }

    const b = data.backoff;
    const nodes = Array.isArray(data.nodes) ? data.nodes : [];
    const seconds = number(data.heartbeat, 1, 86400, null);

    return {
        nodes: nodes.filter((n) => typeof n === 'string'
                                   && /^[\w.:-]{1,253}$/.test(n))
            .slice(0, MAX_NODES),
        wsPort: number(data.ws_port, 1, 65535, 0) | 0,
        wssPort: number(data.wss_port, 1, 65535, 0) | 0,
        heartbeat: seconds === null ? null : seconds * 1000,
        backoff: checkBackoff({
            maxDelay: b?.max_delay * 1000,
            baseDelay: b?.base_delay * 1000,
            factor: b?.factor,
            jitter: b?.jitter,
        }),
    };
}


export function nodeUrl(list, node, secure, path) {
    const port = secure ? list.wssPort : list.wsPort;
    const host = node.includes(':') ? `[${node}]` : node;

    return `${secure ? 'wss' : 'ws'}://${host}${port ? `:${port}` : ''}${path}`;
}


/*
 * The addresses to try, one after the other: `url`, or the nodes in their
 * order and then a new list. With `url` the list is asked for its times only.
 */
export class Nodes {
    #options;
    #report;
    #list = null;
    #next = 0;
    #node = null;           /* whose address was told last, */
    #left = null;           /* ... and which one is not to be told next */


    /* report(error) hears of lists that could not be had */
    constructor(options, report) {
        this.#options = options;
        this.#report = report;
    }


    /* How often to beat: as told, or more often if the application says so. */
    get heartbeat() {
        const told = this.#list?.heartbeat ?? HEARTBEAT;

        return Math.min(this.#options.heartbeat ?? told, told);
    }


    get backoff() { return this.#list?.backoff; }


    /* The list is old news: ask again before the next attempt. */
    expire() {
        this.#next = Infinity;
    }


    /* The node wants to be left: another one next, if there is one. */
    leave() {
        this.#left = this.#node;
        this.expire();
    }


    async url() {
        const { url, nodesUrl, secure, path } = this.#options;

        if (url) {
            if (nodesUrl && this.#list === null) {
                this.#refresh();    /* nobody need wait for it */
            }

            return typeof url === 'function' ? url() : String(url);
        }

        if (this.#list === null || this.#next >= this.#list.nodes.length) {
            await this.#refresh();
        }

        /* no new list: the old nodes may be there nevertheless */

        if (this.#next === Infinity) {
            this.#next = 0;
        }

        const nodes = this.#list?.nodes ?? [];

        if (nodes.length === 0) {
            throw new GoimError('nodes', 'no node is known');
        }

        this.#node = this.#choose(nodes);

        return nodeUrl(this.#list, this.#node, secure, path);
    }


    #choose(nodes) {
        const node = nodes[this.#next++ % nodes.length];
        const left = this.#left;

        this.#left = null;

        return node === left ? nodes[this.#next++ % nodes.length] : node;
    }


    async #refresh() {
        const { nodesUrl, platform, connectTimeout, fetch } = this.#options;
        const url = new URL(nodesUrl, globalThis.location?.href);

        url.searchParams.set('platform', platform);

        try {
            const response = await fetch(url, {
                cache: 'no-store',
                signal: AbortSignal.timeout(connectTimeout / 2),
            });

            if (!response.ok) {
                throw new Error(`status ${response.status}`);
            }

            const list = parseNodes(await response.json());

            if (list === null) {
                throw new Error('not understood');
            }

            this.#list = list;
            this.#next = 0;

        } catch (e) {
            this.#report(new GoimError('nodes', `list of nodes: ${e.message}`,
                { cause: e }));
        }
    }
}

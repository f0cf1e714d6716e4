/*
 * An application that follows a room of real servers, for t/web_recover.t:
 * what it got, and what it was told, is in globalThis.it.
 */

import { GoimClient } from '/goim.js';

const here = location.origin.replace('http', 'ws');


export function follow(room, options = {}) {
    const it = { got: [], told: [], opens: 0, errors: [] };

    it.client = new GoimClient({
        url: `${here}/sub`, mid: 1, room, recover: true,
        backoff: { baseDelay: 100, maxDelay: 1000 }, connectTimeout: 3000,
        ...options,
    });

    it.client.on('message', (m) => { it.got.push(m.text()); });
    it.client.on('recovered', (d) => { it.told.push(`recovered ${d.count}`); });
    it.client.on('gap', (d) => { it.told.push(`gap ${d.from} ${d.to}`); });
    it.client.on('state', (d) => {
        it.opens += d.state === 'open';

        if (d.error) {
            it.errors.push(d.error.message);
        }
    });

    globalThis.it?.client.close();
    globalThis.it = it;

    return it.client.connect();
}


/* One address after the other, as a list of nodes would name them. */
export function inTurn(...ports) {
    let n = 0;

    return () => `ws://127.0.0.1:${ports[n++ % ports.length]}/sub`;
}


async function call(path, options) {
    const answer = await (await fetch(path, options)).json();

    if (answer.code !== 0) {
        throw new Error(`${path}: code ${answer.code}`);
    }

    return answer.data;
}


/*
 * A backend that goes on writing into its state and pushing, and a page that
 * begins: position, state, socket, in this order. How many messages it lacks
 * and has from the socket.
 */
export async function begin(room) {
    const [type, id] = room.split('://');
    const query = `type=${type}&room=${id}`;
    const state = [];
    let goes = true;

    async function backend() {
        for (let n = 1; goes; n++) {
            state.push(`m${n}`);
            await call(`/goim/push/room?operation=1000&${query}`,
                { method: 'POST', body: `m${n}` });
        }
    }

    const writer = backend();

    while (state.length < 10) {
        await call(`/goim/room/position?${query}`);
    }

    const position = await call(`/goim/room/position?${query}`);

    await call(`/goim/room/position?${query}`);     /* the state takes long */

    const page = new Set(state);
    const before = page.size;

    await call(`/goim/room/position?${query}`);     /* so does the page */
    await follow(room, { position });

    const { length } = state;

    while (state.length < length + 10) {
        await call(`/goim/room/position?${query}`);
    }

    goes = false;
    await writer;

    for (let i = 0; i < 200 && it.got.at(-1) !== state.at(-1); i++) {
        await new Promise((resolve) => { setTimeout(resolve, 50); });
    }

    it.got.forEach((text) => page.add(text));

    return { lacks: state.filter((text) => !page.has(text)),
        told: it.told.map((text) => text.split(' ')[0]),
        between: position.seq < before, some: it.got.length > 0,
        twice: it.got.length - new Set(it.got).size };
}

/*
 * Somebody's device on real servers, for t/web_im.t: what it got, and what it
 * was told, is in globalThis.it.
 */

import { GoimClient } from '/goim.js';
import { Im } from '/goim_im.js';

const here = location.origin.replace('http', 'ws');


export async function device(mid, token, { url, im, ...options } = {}) {
    const it = { got: [], told: [], opens: 0, answers: {}, errors: [] };

    it.client = new GoimClient({
        url: url ?? `${here}/sub`, mid, token, requestTimeout: 3000,
        backoff: { baseDelay: 100, maxDelay: 1000 }, connectTimeout: 3000,
        ...options,
    });
    it.im = new Im(it.client, { retry: 100, ...im });

    it.im.on('item', (i) => { it.got.push([i.conv, i.seq, i.id, i.text()]); });
    it.im.on('recovered', ({ count }) => { it.told.push(`recovered ${count}`); });
    it.im.on('gap', (d) => { it.told.push(`gap ${d.from} ${d.to}`); });
    it.im.on('kicked', (d) => { it.told.push(`kicked ${d.code}`); });
    it.im.on('sent', (m) => { it.answers[m.id] = [m.conv, m.seq]; });
    it.im.on('refused', (m) => { it.errors.push(m.error.message); });
    it.im.on('error', (e) => { it.errors.push(e.message); });
    it.client.on('state', ({ state }) => { it.opens += state === 'open'; });

    globalThis.it?.client.close();
    globalThis.it = it;

    /* the texts of a conversation, as they came */

    it.texts = (conv) => it.got.filter((i) => i[0] === conv).map((i) => i[3]);

    /* this device says so many things to somebody, one after the other */

    it.say = (to, name, count) => {
        for (let n = 1; n <= count; n++) {
            it.im.send(to, `${name}${n}`, { id: `${name}${n}` })
                .catch((e) => it.errors.push(e.message));
        }
    };

    await it.client.connect();

    while (it.im.position === null) {
        await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
}

/*
 * Recovery: what a client says of its places and what it makes of what it is
 * told, item by item. What real servers say is in t/web_recover.t.
 */

import { Op } from '/goim.js';
import { encodeBody, encodePacket } from '/goim_packet.js';
import { fails, is, ok, rejects, test } from './lib.js';
import { batch, binary, inState, message, next, pause, rogue } from './rig.js';

const MAX = 0x7fffffff;


/* The item with this number; its body tells it. */
function item(seq, body = `i${seq}`) {
    return encodePacket(1000, (seq - 1) % MAX + 1, encodeBody(body));
}


function items(...list) {
    return binary(batch(...list.map((seq) => item(seq))));
}


function told(entries) {
    return binary(encodePacket(Op.POSITION, 0,
        encodeBody(JSON.stringify(entries))));
}


function at(seq, more = {}) {
    return { 'a://1': { epoch: 'e', seq, first: 1, ...more } };
}


function bye(body) {
    return binary(encodePacket(Op.DISCONNECT, 0,
        encodeBody(JSON.stringify(body))));
}


/* A Storage of one page. */
function storage(entries = {}) {
    const map = new Map(Object.entries(entries));

    return {
        map,
        getItem: (name) => map.get(name) ?? null,
        setItem: (name, value) => { map.set(name, value); },
        removeItem: (name) => { map.delete(name); },
    };
}


/* A client that recovers, and all that its application hears, in order. */
function recovering(options = {}, flags = '') {
    const r = rogue(flags, { recover: true, room: 'a://1', ...options });
    const heard = [];

    r.heard = heard;
    r.client.on('message', (m) => { heard.push(m.text()); });
    r.client.on('recovered', (d) => { heard.push(`recovered ${d.count}`); });
    r.client.on('gap', ({ from, to, restarted }) => {
        heard.push(`gap ${from} ${to}${restarted ? ' restarted' : ''}`);
    });
    r.client.on('error', (e) => { heard.push(`error ${e.code}`); });

    /* an unnumbered push at the end, so that all before it has been heard */

    r.say = async (...actions) => {
        const end = next(r.client, 'message', (m) => m.text() === 'end');

        r.act(...actions, binary(batch(message('end'))));
        await end;
        is(heard.pop(), 'end');
    };

    /* what the nth connection said of where it was */

    r.said = async (n) => {
        const { connections } = await r.saw(
            (log) => log.connections[n]?.packets.length > 0);

        return JSON.parse(connections[n].packets[0].text).recover;
    };

    /* until the next connection is open */

    r.again = async (...actions) => {
        const lost = inState(r.client, 'waiting');

        r.act(...actions);
        await lost;
        await inState(r.client, 'open');
    };

    return r;
}


test('who does not recover says nothing of it, and takes 23 and 6 for pushes',
    async () => {
        const { client, act, ...r } = rogue('',
            { room: 'a://1', errors: false });
        const got = [];

        client.on('message', (m) => got.push([m.operation, m.seq]));
        await client.connect();
        act(told(at(1)), bye({ code: 1012, again: true }), items(7));
        await next(client, 'message', (m) => m.text() === 'i7');
        is(got, [[23, null], [6, null], [1000, null]]);

        const { connections } = await r.log();

        ok(!('recover' in JSON.parse(connections[0].packets[0].text)),
            'recover');
        is(client.position, null);
        client.close();
    });

test('it begins now, and comes back with where it was', async () => {
    const r = recovering();

    await r.client.connect();
    is(await r.said(0), { 'a://1': {} });
    await r.say(told(at(4)), items(5, 6), items(7));
    is(r.heard, ['i5', 'i6', 'i7']);
    is(r.client.position, { epoch: 'e', seq: 7 });

    await r.again(['close', 1001, 'going away']);
    is(await r.said(1), { 'a://1': { epoch: 'e', seq: 7 } });
    await r.say(told(at(7, { head: 9, recovered: true })), items(8),
        items(9, 10));
    is(r.heard.slice(3), ['recovered 2', 'i8', 'i9', 'i10']);
    r.client.close();
});

test('a message tells its number, and whether it was missed', async () => {
    const r = recovering({ position: { epoch: 'e', seq: 4, first: 2 } });
    const got = [];

    r.client.on('message', (m) => {
        if (m.seq !== undefined) {
            got.push([m.room, m.epoch, m.seq, m.missed]);
        }
    });

    await r.client.connect();
    is(await r.said(0), { 'a://1': { epoch: 'e', seq: 4 } });
    is(r.client.position, { epoch: 'e', seq: 4 });
    await r.say(told(at(4, { head: 5, recovered: true })), items(5, 6));
    is(got, [['a://1', 'e', 5, true], ['a://1', 'e', 6, false]]);
    r.client.close();
});

test('the newest so many are asked for once', async () => {
    const r = recovering({ last: 50 });

    await r.client.connect();
    is(await r.said(0), { 'a://1': { last: 50 } });
    await r.say(told(at(8)), items(9));
    await r.again(['drop']);
    is(await r.said(1), { 'a://1': { epoch: 'e', seq: 9 } });
    is(r.heard, ['i9']);
    r.client.close();
});

test('what can\'t be recovered is a gap', async () => {
    const r = recovering({ position: { epoch: 'e', seq: 4 } });

    await r.client.connect();
    await r.say(told(at(9, { recovered: false })), items(10),
        told({ 'a://1': { epoch: 'f', seq: 0, first: 1, recovered: false } }),
        items(1),
        told({ 'a://1': { epoch: 'f', seq: 1, first: 1, recovered: false } }),
        items(2), told({ 'a://1': null }), told({ 'a://1': null }));
    is(r.heard, ['gap 5 9', 'i10', 'gap 1 0 restarted', 'i1', 'gap 2 null',
        'i2', 'gap 3 null']);
    is(r.client.position, null);
    r.client.close();
});

test('an item that does not follow ends the connection', async () => {
    for (const wrong of [items(8), items(6), items(5), items(MAX),
        binary(batch(encodePacket(1000, -1)))])
    {
        const r = recovering();

        await r.client.connect();
        await r.say(told(at(5)), items(6));
        await r.again(wrong);
        is(r.heard, ['i6']);
        is(await r.said(1), { 'a://1': { epoch: 'e', seq: 6 } });
        r.client.close();
    }
});

test('so does one before its place was told, and a place that is none',
    async () => {
        for (const wrong of [items(1), told({ 'a://1': { epoch: '', seq: 1 } }),
            told({ 'a://1': { epoch: 'e', seq: -1 } }), told(7),
            binary(encodePacket(Op.POSITION, 0, encodeBody('{'))),
            binary(encodePacket(Op.DISCONNECT, 0, encodeBody('{}')))])
        {
            const r = recovering();

            await r.client.connect();
            await r.again(wrong);
            is(r.heard, []);
            is(await r.said(1), { 'a://1': {} });
            r.client.close();
        }
    });

test('numbers go round after 2^31 - 1', async () => {
    const r = recovering({ position: { epoch: 'e', seq: 2 * MAX - 1 } });

    await r.client.connect();
    await r.say(told(at(2 * MAX - 1, { head: 2 * MAX, recovered: true })),
        items(2 * MAX), items(2 * MAX + 1, 2 * MAX + 2));
    is(r.client.position.seq, 2 * MAX + 2);
    is(r.heard.length, 4);
    r.client.close();
});

test('what was on its way when we said where we were is not heard twice',
    async () => {
        const r = recovering();

        await r.client.connect();
        await r.say(told(at(5)), items(6));
        r.client.changeRoom('b://1').catch(() => {});
        r.client.changeRoom('a://1').catch(() => {});

        const { connections } = await r.saw((log) => log.connections[0].packets
            .filter((p) => p.operation === 12).length === 2);

        is(connections[0].packets.filter((p) => p.operation === 12)
            .map((p) => JSON.parse(p.text)),
            [{ 'b://1': {} }, { 'a://1': { epoch: 'e', seq: 6 } }]);
        await r.say(items(7), told({ 'b://1': null }),
            told(at(6, { head: 8, recovered: true })), items(7, 8), items(9));
        is(r.heard, ['i6', 'i7', 'recovered 1', 'i8', 'i9']);
        r.client.close();
    });

test('a change of room goes on where it was, or where the application says',
    async () => {
        const r = recovering({ last: 9 });
        const change = async (...args) => {
            const before = await r.log();
            const n = before.connections[0].packets.length;

            r.client.changeRoom(...args).catch(() => {});

            const { connections } = await r.saw((log) => log.connections[0]
                .packets.slice(n).some((p) => p.operation === 12));

            return connections[0].packets.slice(n)
                .find((p) => p.operation === 12).text;
        };

        await r.client.connect();
        await r.say(told(at(5)), items(6));
        is(await change(''), '');
        await r.say(told({}));
        is(await change('b://"'), '{"b://\\"":{"last":9}}');
        is(await change('a://1'), '{"a://1":{"epoch":"e","seq":6}}');
        is(await change('a://1', { last: 3 }), '{"a://1":{"last":3}}');
        await r.say(told(at(3)), items(4, 5, 6));
        is(await change('a://1', { position: { epoch: 'e', seq: 4 } }),
            '{"a://1":{"epoch":"e","seq":4}}');
        await r.say(told(at(4, { head: 6, recovered: true })), items(5, 6));
        is(r.heard, ['i6', 'i4', 'i5', 'i6', 'recovered 2', 'i5', 'i6']);
        r.client.close();
    });

test('a room that the application chose instead is recovered, too', async () => {
    const r = recovering();

    await r.client.connect();
    await r.say(told({ 'x://9': { epoch: 'e', seq: 1, first: 1 } }), items(2));
    await r.again(['drop']);
    is(await r.said(1), { 'a://1': {}, 'x://9': { epoch: 'e', seq: 2 } });
    r.client.close();
});

test('the position moves when the handler has returned', async () => {
    const store = storage();
    const name = 'goim:0:a://1';
    const r = recovering({ storage: store });
    const seen = [];
    const off = r.client.on('message', (m) => {
        seen.push(`${m.text()} at ${r.client.position?.seq}`);
    });

    await r.client.connect();
    await r.say(told(at(5)), items(6, 7));
    is(seen.slice(0, 2), ['i6 at 5', 'i7 at 6']);
    is(store.map.get(name), '{"epoch":"e","seq":7}');
    off();

    /* a promise is waited for, and all before it */

    const finish = {};

    r.client.on('message', (m) => (m.seq === undefined ? null
        : new Promise((resolve, reject) => {
            finish[m.text()] = { resolve, reject };
        })));
    await r.say(items(8, 9, 10));
    is(r.heard.slice(2), ['i8', 'i9', 'i10'], 'nobody waits to be called');
    is(r.client.position.seq, 7);
    finish.i9.resolve();
    await pause(0);
    is(r.client.position.seq, 7);
    finish.i8.resolve();
    await pause(0);
    is([r.client.position.seq, store.map.get(name)],
        [9, '{"epoch":"e","seq":9}']);

    /* who comes back in this page does not get again what a handler has */

    await r.again(['drop']);
    is(await r.said(1), { 'a://1': { epoch: 'e', seq: 10 } });
    await r.say(told(at(10, { head: 10, recovered: true })));
    is(r.client.position.seq, 9);

    /* a failure is the page's, which hears of it; the message was handed over */

    const failed = new Promise((resolve) => {
        addEventListener('unhandledrejection', (e) => {
            e.preventDefault();
            resolve(e.reason.message);
        }, { once: true });
    });

    finish.i10.reject(new Error('on purpose'));
    is(await failed, 'on purpose');
    is(r.client.position.seq, 10);
    r.client.close();
});

test('a handler that throws has had its message', async () => {
    const r = recovering();
    const thrown = new Promise((resolve) => {
        addEventListener('error', (e) => {
            e.preventDefault();
            resolve(e.message);
        }, { once: true });
    });

    r.client.on('message', (m) => {
        if (m.seq === 6) {
            throw new Error('on purpose');
        }
    });
    await r.client.connect();
    await r.say(told(at(5)), items(6, 7));
    ok(/on purpose/.test(await thrown), 'nobody hears of it');
    is([r.heard, r.client.position.seq], [['i6', 'i7'], 7]);
    r.client.close();
});

test('a gap is done with as a message is', async () => {
    const r = recovering({ position: { epoch: 'e', seq: 4 } });
    let done;

    r.client.on('gap', () => new Promise((resolve) => { done = resolve; }));
    await r.client.connect();
    await r.say(told(at(9, { recovered: false })), items(10));
    is(r.client.position.seq, 4);
    done();
    await pause(0);
    is(r.client.position.seq, 10);
    r.client.close();
});

test('who closes in the middle of a frame gets the rest later', async () => {
    const r = recovering();
    const off = r.client.on('message', (m) => {
        if (m.seq === 6) {
            r.client.close();
        }
    });

    await r.client.connect();
    r.act(told(at(5)), items(6, 7));
    await inState(r.client, 'closed');
    off();
    await r.client.connect();
    is(await r.said(1), { 'a://1': { epoch: 'e', seq: 6 } });
    await r.say(told(at(6, { head: 7, recovered: true })), items(7));
    is(r.heard, ['i6', 'recovered 1', 'i7']);
    r.client.close();
});

test('a stored position is begun with, unless one is handed in', async () => {
    const store = storage({ 'goim:0:a://1': '{"epoch":"e","seq":7}' });

    for (const [start, expected] of [
        [{}, { epoch: 'e', seq: 7 }],
        [{ last: 5 }, { epoch: 'e', seq: 7 }],
        [{ position: null }, { epoch: 'e', seq: 7 }],
        [{ position: { epoch: 'f', seq: 1 } }, { epoch: 'f', seq: 1 }],
        [{ mid: 1 }, {}]])
    {
        const r = recovering({ storage: store, ...start });

        is(r.client.position, expected.epoch ? expected : null);
        await r.client.connect();
        is(await r.said(0), { 'a://1': expected });
        r.client.close();
    }

    for (const wrong of ['', '{', 'null', '7', '{"epoch":"e"}',
        '{"epoch":"e","seq":-1}', '{"epoch":"e","seq":"1"}',
        '{"epoch":"an epoch","seq":1}', `{"epoch":"${'e'.repeat(33)}","seq":1}`])
    {
        const r = recovering({
            storage: storage({ 'goim:0:a://1': wrong }) });

        is(r.client.position, null, wrong);
    }
});

test('a storage that fails is told, and costs nothing else', async () => {
    const r = recovering({
        storage: {
            getItem: () => null,
            setItem: () => { throw new Error('full'); },
        },
    });

    await r.client.connect();
    await r.say(told(at(5)), items(6));
    is(r.heard, ['error storage', 'i6', 'error storage']);
    is(r.client.position.seq, 6);
    r.client.close();
});

test('what makes no sense is refused', async () => {
    for (const wrong of [{ position: {} }, { position: { epoch: 'e' } },
        { position: 7 }, { last: -1 }, { last: 1001 }, { last: 1.5 }])
    {
        fails(() => recovering(wrong), 'argument');
        await rejects(recovering().client.changeRoom('b://1', wrong),
            'argument');
    }

    for (const alone of [{ last: 1 }, { storage: storage() },
        { position: { epoch: 'e', seq: 1 } }])
    {
        fails(() => rogue('', alone), 'argument');
    }
});

test('1012: it comes back at once, but not again and again', async () => {
    const hour = 3600000;
    const r = recovering({ backoff: { baseDelay: hour, maxDelay: hour } });
    const last = { code: 1012, reason: 'going away', again: true };

    await r.client.connect();
    await r.again(bye(last));

    const waiting = next(r.client, 'state', (d) => d.state === 'waiting');

    r.act(['close', 1012, 'too slow']);
    ok((await waiting).delay > 0, 'it came at once again');
    r.client.close();
});

test('a close frame of 1012 alone does it, too; others wait', async () => {
    for (const [code, soon] of [[1012, true], [1001, false], [1013, false]]) {
        const r = recovering({ backoff: { baseDelay: 3600000 } });
        const waiting = next(r.client, 'state', (d) => d.state === 'waiting');

        await r.client.connect();
        r.act(['close', code, 'x']);
        is((await waiting).delay === 0, soon, code);
        r.client.close();
    }
});

test('who leaves a node at once goes to another', async () => {
    const r = recovering({ url: null, list: 'list=127.0.0.3,127.0.0.2' });

    await r.client.connect();
    await r.again(bye({ code: 1012, reason: 'x', again: true }));

    const { connections, lists } = await r.log();

    is(connections.map((c) => c.host.replace(/:.*/, '')),
        ['127.0.0.3', '127.0.0.2']);
    is(lists, 2);
    r.client.close();
});

test('last words: not to come back; replaced; and those that close nothing',
    async () => {
        for (const [words, code] of [
            [{ code: 1008, reason: 'auth refused', again: false }, 'denied'],
            [{ code: 1002, reason: 'wrong', again: false }, 'denied'],
            [{ code: 1008, reason: 'replaced', again: false }, 'replaced']])
        {
            const r = recovering();

            await r.client.connect();

            const end = next(r.client, code);

            r.act(bye(words));
            await end;
            is(r.client.state, 'closed');
        }

        const r = recovering();

        await r.client.connect();
        await r.say(bye({ code: -1, reason: 'for later', again: false }),
            told(at(1)), items(2));
        is([r.client.state, r.heard], ['open', ['i2']]);
        r.client.close();
    });

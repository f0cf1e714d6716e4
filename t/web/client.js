/*
 * The client against a server that does wrong to order.
 */

import { Op } from '/goim.js';
import { encodeBody, encodePacket } from '/goim_packet.js';
import { bytes, is, ok, rejects, test } from './lib.js';
import {
    batch, binary, byClock, collect, end, inState, message, next, pause, rogue,
} from './rig.js';


test('malformed input is an error event, and the connection stays',
    async () => {
        const { client, act } = rogue();
        const got = collect(client);

        await client.connect();
        act(['text', 'text'], binary(bytes(1, 2, 3)),
            binary(encodePacket(Op.RAW, 0, bytes(1))),
            binary(batch(message('good'), bytes(0, 0))),
            binary(encodePacket(Op.HEARTBEAT_REPLY, 2, bytes(1))),
            binary(batch(message('good'))), end());
        await got.end;

        is(got.errors, Array(5).fill('malformed'));
        is(got.messages, ['good', 'good', 'end']);
        is(client.state, 'open');
        client.close();
    });

test('a batch gives its messages in order, with operation 9 among them',
    async () => {
        const { client, act } = rogue();
        const got = [];

        client.on('message', (m) => got.push([m.operation, m.text()]));
        await client.connect();
        act(binary(batch(message('a', 5), message('b', 9), message('c', 8))));
        await next(client, 'message', (m) => m.text() === 'c');
        is(got, [[5, 'a'], [9, 'b'], [8, 'c']]);
        client.close();
    });

test('a push before the auth reply is not lost', async () => {
    const { client, act } = rogue('silent');

    client.connect();
    await inState(client, 'auth');
    act(end());
    await collect(client).end;
    is(client.state, 'auth');
    client.close();
});

test('answers find their requests by number, in any order', async () => {
    const { client, act, ...r } = rogue();

    await client.connect();

    const answers = [client.send(100, 'a'), client.send(100, 'b')];
    const { connections } = await r.saw((log) => log.connections[0].packets
        .filter((p) => p.operation === 100).length === 2);
    const [a, b] = connections[0].packets.filter((p) => p.operation === 100);

    ok(a.sequence !== b.sequence, 'the same number twice');
    act(
        binary(encodePacket(100, b.sequence, encodeBody('to b'))),
        binary(encodePacket(100, a.sequence, encodeBody('to a'))));
    is((await Promise.all(answers)).map((p) => p.text()), ['to a', 'to b']);
    client.close();
});

test('a request without an answer times out, a late answer is ignored',
    async () => {
        const { client, act, ...r } = rogue('', { requestTimeout: 20 });
        const got = collect(client);

        await client.connect();
        await rejects(client.send(100), 'timeout');

        const { connections } = await r.saw((log) => log.connections[0].packets
            .some((p) => p.operation === 100));
        const { sequence } = connections[0].packets
            .find((p) => p.operation === 100);

        act(binary(encodePacket(100, sequence)), end());
        await got.end;
        is([got.errors, got.messages], [[], ['end']]);
        client.close();
    });

test('requests of a lost connection are rejected', async () => {
    const { client, act } = rogue();

    await client.connect();

    const request = client.send(4, 'x');

    act(['drop']);
    await rejects(request, 'lost');
    client.close();
});

test('requests without an answer are bounded', async () => {
    const { client } = rogue();

    await client.connect();

    const requests = Array.from({ length: 1000 }, () => client.send(4));

    await rejects(client.send(4), 'busy');
    client.close();
    await Promise.all(requests.map((r) => rejects(r, 'closed')));
});

test('send() refuses what belongs to the client, and when not open',
    async () => {
        const { client } = rogue();

        await rejects(client.send(4), 'closed');
        await client.connect();

        for (const op of [2, 3, 7, 8, 9, 12, 14, 16, 1.5]) {
            await rejects(client.send(op), 'argument');
        }

        await rejects(client.send(4, 'x'.repeat(4097)), 'argument');
        client.close();
        await rejects(client.send(4), 'closed');
    });

test('what was asked for during auth is done after it', async () => {
    const { client, act, ...r } = rogue('silent',
        { room: 'a://1', accepts: [1, 2] });

    client.connect();
    await inState(client, 'auth');
    is([await client.changeRoom('b://2'), await client.sub([3]),
        await client.unsub([1])], [false, false, false]);

    const before = await r.saw((log) => log.connections[0].packets.length);
    const auth = before.connections[0].packets[0];

    is(JSON.parse(auth.text).room_id, 'a://1');
    act(binary(encodePacket(Op.AUTH_REPLY, auth.sequence)));

    const { connections } = await r.saw(
        (log) => log.connections[0].packets.length >= 4);

    is(connections[0].packets.slice(1, 4).map((p) => [p.operation, p.text]),
        [[12, 'b://2'], [14, '3'], [16, '1']]);
    client.close();
});

test('room and operations outlive a reconnect', async () => {
    const { client, act, ...r } = rogue('', { room: 'a://1', accepts: [1] });

    await client.connect();
    client.changeRoom('b://2').catch(() => {});
    client.sub([7, 8]).catch(() => {});
    client.unsub([1]).catch(() => {});
    act(['close', 1001, 'going away']);
    await inState(client, 'waiting');
    await inState(client, 'open');

    const { connections } = await r.log();
    const auth = JSON.parse(connections[1].packets[0].text);

    is([auth.room_id, auth.accepts, auth.key],
        ['b://2', [7, 8], client.key]);
    client.close();
});

test('a room that is refused: we stay where we were', async () => {
    const { client, act, ...r } = rogue('', { room: 'a://1' });

    await client.connect();
    const refused = rejects(client.changeRoom('b://2'), 'refused');
    const isChange = (p) => p.operation === 12;
    const { connections } = await r.saw(
        (log) => log.connections[0].packets.some(isChange));
    const { sequence } = connections[0].packets.find(isChange);

    act(binary(encodePacket(13, sequence, encodeBody('a://1'))));
    await refused;
    is(client.room, 'a://1');
    client.close();
});

test('the token is asked for before each attempt', async () => {
    let n = 0;
    const { client, act, log } = rogue('', { token: async () => ({ n: ++n }) });

    await client.connect();
    act(['drop']);
    await inState(client, 'waiting');
    await inState(client, 'open');
    is((await log()).connections.map((c) => JSON.parse(c.packets[0].text)
        .token), [{ n: 1 }, { n: 2 }]);
    client.close();
});

test('a token that cannot be had is a failed attempt', async () => {
    let n = 0;
    const { client } = rogue('', {
        token: () => {
            if (n++ === 0) {
                throw new Error('no token');
            }
        },
    });
    const lost = next(client, 'state', (d) => d.state === 'waiting');

    await client.connect();
    is((await lost).error.message, 'no token');
    client.close();
});

test('a refused auth is final', async () => {
    const { client, log } = rogue('deny');
    const denied = next(client, 'denied');

    await rejects(client.connect(), 'denied');
    is((await denied).code, 'denied');
    is(client.state, 'closed');
    await pause(50);
    is((await log()).connections.length, 1);
});

test('a replaced session is final', async () => {
    const { client, act, log } = rogue();

    await client.connect();

    const replaced = next(client, 'replaced');

    act(['close', 1008, 'replaced']);
    is((await replaced).code, 'replaced');
    is(client.state, 'closed');
    await pause(50);
    is((await log()).connections.length, 1);
});

test('a 1008 for anything else is not final', async () => {
    const { client, act } = rogue();

    await client.connect();
    act(['close', 1008, 'other']);
    await inState(client, 'waiting');
    await inState(client, 'open');
    client.close();
});

test('the application ends it for good, or for now', async () => {
    for (const code of [4000, 4499, 5000]) {
        const { client, act } = rogue();

        await client.connect();
        act(['close', code, 'later']);
        await inState(client, 'waiting');
        await inState(client, 'open');
        client.close();
    }

    for (const code of [4500, 4999]) {
        const { client, act, log } = rogue();

        await client.connect();

        const denied = next(client, 'denied');

        act(['close', code, 'the show is over']);
        ok((await denied).message.includes('the show is over'), 'its reason');
        is(client.state, 'closed');
        await pause(50);
        is((await log()).connections.length, 1);
    }
});

test('after close() nothing happens any more', async () => {
    const { client, ...r } = rogue();

    await client.connect();

    const { states } = collect(client);

    client.close();
    client.close();
    await r.saw((log) => log.connections[0].closed);
    await pause(50);
    is(states, ['closed']);
    is((await r.log()).connections.length, 1);
});

test('close() while connecting and while waiting', async () => {
    const { client } = rogue('refuse=99', { backoff: { baseDelay: 3600000 } });
    const promise = client.connect();

    client.close();
    await rejects(promise, 'closed');

    client.connect();
    await inState(client, 'waiting');
    ok(client.retryAt >= Date.now(), 'retryAt has passed');
    client.close();
    is([client.state, client.retryAt], ['closed', null]);
});

test('failed attempts go on until one is good; retry() cuts a wait',
    async () => {
        const { client, log } = rogue('refuse=3',
            { backoff: { baseDelay: 3600000, maxDelay: 3600000 } });

        client.on('state', (d) => {
            if (d.state === 'waiting') {
                setTimeout(() => client.retry(), 0);
            }
        });

        await client.connect();
        is((await log()).connections.length, 4);
        client.close();
    });

test('no answer to auth in time is a failed attempt', async () => {
    const { client } = rogue('silent', { connectTimeout: 50 });
    const waiting = next(client, 'state', (d) => d.state === 'waiting');

    client.connect();
    is((await waiting).error.code, 'timeout');
    client.close();
});

test('a heartbeat comes at once and then at its interval', async () => {
    const { client, log } = rogue('', { heartbeat: 20 });
    let n = 0;

    client.on('online', () => n++);
    client.connect();
    await next(client, 'online', (count) => count === 9 && n >= 3);
    is(client.online, 9);

    const { packets } = (await log()).connections[0];

    ok(packets.filter((p) => p.operation === 2).length >= 3, 'beats');
    client.close();
    is(client.online, null);
});

test('heartbeat() tells the number online', async () => {
    const { client } = rogue();

    await client.connect();
    is(await client.heartbeat(), 9);
    client.close();
});

test('a heartbeat without an answer ends the connection', async () => {
    const { client, ...r } = rogue('mute', { heartbeatTimeout: 50 });

    await client.connect();

    const { error } = await next(client, 'state',
        (d) => d.state === 'waiting');

    is(error.code, 'timeout');
    await inState(client, 'open');
    await r.saw((log) => log.connections[0].closed);
    client.close();
});

test('pushes keep a connection whose heartbeat is behind them, for a time',
    () => byClock(async (clock) => {
        const { client, act } = rogue('mute', { heartbeatTimeout: 1000 });

        await client.connect();

        for (let i = 0; i < 3; i++) {
            clock.move(900);
            act(end());
            await collect(client).end;
            clock.move(99);
            is(client.state, 'open');
            clock.move(1);
        }

        is(client.state, 'waiting');
        client.close();
    }));

test('a listener may close in the middle of a batch', async () => {
    const { client, act } = rogue();
    let n = 0;

    client.on('message', () => {
        n++;
        client.close();
    });

    await client.connect();
    act(binary(batch(message('a'), message('b'))));
    await inState(client, 'closed');
    is(n, 1);
});

test('nodes are tried in their order, then a new list is asked for',
    async () => {
        const { client, log } = rogue('refuse=3',
            { list: 'list=127.0.0.3,127.0.0.2' });

        await client.connect();

        const { connections, lists, queries } = await log();

        is(connections.map((c) => c.host.replace(/:.*/, '')),
            ['127.0.0.3', '127.0.0.2', '127.0.0.3', '127.0.0.2']);
        is(lists, 2);
        ok(queries.every((q) => /&platform=web(&|$)/.test(q)), queries[0]);
        client.close();
    });

test('without a new list the old nodes are tried', async () => {
    const { client, act, log } = rogue('', { list: 'once' });
    const { errors } = collect(client);

    await client.connect();
    act(['drop']);
    await inState(client, 'waiting');
    await inState(client, 'open');
    is(errors, ['nodes']);

    const { lists, connections } = await log();

    is([lists, connections.length], [2, 2]);
    client.close();
});

test('no list at all is a failed attempt', async () => {
    const { client } = rogue('', { list: 'never' });
    const waiting = next(client, 'state', (d) => d.state === 'waiting');

    client.connect();
    is((await waiting).error.code, 'nodes');
    client.close();
});

test('an address that is none is a failed attempt', async () => {
    const { client } = rogue('', { url: 'http://[' });
    const waiting = next(client, 'state', (d) => d.state === 'waiting');

    client.connect();
    is((await waiting).error.code, 'lost');
    client.close();
});

test('coming back online cuts a wait short, but not below baseDelay',
    () => byClock(async (clock) => {
        const { client } = rogue('refuse=3',
            { backoff: { baseDelay: 200, factor: 100, jitter: 0 } });

        client.connect();

        for (let i = 0; i < 2; i++) {
            await inState(client, 'waiting');
            clock.move(200);
        }

        await inState(client, 'waiting');
        window.dispatchEvent(new Event('online'));
        clock.move(199);
        is(client.state, 'waiting');
        clock.move(201);
        await inState(client, 'open');
        client.close();
    }));

test('a long wait ends when the network is back', async () => {
    const hour = 3600000;
    const { client } = rogue('refuse=2',
        { backoff: { baseDelay: 100, factor: 100, jitter: 0, maxDelay: hour } });

    client.on('state', ({ state }) => {
        if (state === 'waiting') {
            setTimeout(() => window.dispatchEvent(new Event('online')), 0);
        }
    });

    await client.connect();
    client.close();
});

test('a change of the network tries an open connection', async () => {
    const { client, ...r } = rogue();
    const beats = (log) => log.connections[0].packets
        .filter((p) => p.operation === 2).length;

    client.connect();
    await next(client, 'online');
    is(beats(await r.log()), 1);
    window.dispatchEvent(new Event('offline'));
    await r.saw((log) => beats(log) === 2);
    client.close();
    window.dispatchEvent(new Event('online'));
    is(client.state, 'closed');
});

test('connect() again after close(), and when it is open', async () => {
    const { client, log } = rogue();

    await client.connect();
    client.close();
    await client.connect();
    await client.connect();
    is([client.state, (await log()).connections.length], ['open', 2]);
    client.close();
});

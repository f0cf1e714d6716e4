/*
 * The client's parts that need no server: packets, auth, nodes, backoff.
 */

import { GoimClient } from '/goim.js';
import { backoffDelay, checkBackoff, nodeUrl, parseNodes } from '/goim_nodes.js';
import {
    checkAccepts, checkMid, checkOperations, checkRoom, decodeOnline,
    decodePackets, encodeAuth, encodeBody, encodePacket,
} from '/goim_packet.js';
import { checkSent, encodeSend, maySend } from '/goim_send.js';
import { bytes, concat, fails, is, ok, test } from './lib.js';


function text(data) {
    return new TextDecoder().decode(data);
}


/* ---- packets ---- */

test('a packet is sixteen bytes, big-endian, and its body', () => {
    is([...encodePacket(7, 0x01020304, bytes(0xaa, 0xbb))],
        [0, 0, 0, 18, 0, 16, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4, 0xaa, 0xbb]);
});

test('what is encoded is decoded', () => {
    const body = encodeBody('grüße');
    const { packets, error } = decodePackets(encodePacket(-5, 77, body));

    is(error, null);
    is(packets.length, 1);
    is([packets[0].version, packets[0].operation, packets[0].sequence],
        [1, -5, 77]);
    is(packets[0].text(), 'grüße');
});

test('a batch holds several packets, empty ones too', () => {
    const { packets, error } = decodePackets(concat(
        encodePacket(1, 0, encodeBody('a')), encodePacket(2, 0),
        encodePacket(3, 0, encodeBody('ccc'))));

    is(error, null);
    is(packets.map((p) => [p.operation, p.text()]),
        [[1, 'a'], [2, ''], [3, 'ccc']]);
});

test('no bytes are no packets', () => {
    is(decodePackets(bytes()), { packets: [], error: null });
});

test('a view that does not start at 0 is read from its own start', () => {
    const all = concat(bytes(9, 9, 9), encodePacket(1, 2, bytes(5)));
    const { packets } = decodePackets(all.subarray(3));

    is([packets[0].operation, packets[0].sequence, ...packets[0].body],
        [1, 2, 5]);
});

test('every truncation of a batch gives what is whole, and an error', () => {
    const first = encodePacket(1, 0, encodeBody('abc'));
    const all = concat(first, encodePacket(2, 0, encodeBody('defg')));

    for (let n = 1; n < all.length; n++) {
        const { packets, error } = decodePackets(all.subarray(0, n));

        is(packets.length, n < first.length ? 0 : 1, `packets of ${n} bytes`);
        is(error === null, n === first.length, `no error in ${n} bytes`);
    }
});

test('wrong lengths and headers are errors', () => {
    for (const [offset, value] of [
        [0, [0, 0, 0, 15]], [0, [0, 0, 0, 0]], [0, [0xff, 0xff, 0xff, 0xff]],
        [0, [0x80, 0, 0, 0]], [0, [0x7f, 0xff, 0xff, 0xff]],
        [0, [0, 0, 0, 18]], [4, [0, 15]], [4, [0, 0]], [4, [1, 16]],
    ]) {
        const packet = encodePacket(1, 1, bytes(1));

        packet.set(value, offset);

        const { packets, error } = decodePackets(packet);

        is(packets, []);
        ok(error !== null, `${value} at ${offset} is no error`);
    }
});

test('random bytes never throw', () => {
    for (let i = 0; i < 5000; i++) {
        const noise = crypto.getRandomValues(new Uint8Array(i % 80));

        if (i % 2) {
            noise.set([0, 0, 0, 16 + i % 50, 0, 16].slice(0, noise.length));
        }

        for (const p of decodePackets(noise).packets) {
            p.text();
            decodeOnline(p);
        }
    }
});

test('the number online is an int32, or there is none', () => {
    is(decodeOnline({ body: bytes(0, 0, 1, 2) }), 258);
    is(decodeOnline({ body: bytes(0, 0, 1, 2, 3) }), 258);
    is(decodeOnline({ body: bytes(0, 0, 1) }), null);
});

test('bodies are text, buffers, views or nothing', () => {
    is([...encodeBody('é')], [0xc3, 0xa9]);
    is([...encodeBody(bytes(1, 2, 3).buffer)], [1, 2, 3]);
    is([...encodeBody(bytes(1, 2, 3).subarray(1))], [2, 3]);
    is([...encodeBody(new DataView(bytes(7, 8).buffer, 1))], [8]);
    is([...encodeBody()], []);
    is([...encodeBody(null)], []);
    fails(() => encodeBody({}), 'argument');
    fails(() => encodeBody(5), 'argument');
});

test('a body has at most 4096 bytes, not characters', () => {
    is(encodeBody('x'.repeat(4096)).length, 4096);
    fails(() => encodeBody('x'.repeat(4097)), 'argument');
    fails(() => encodeBody('é'.repeat(2049)), 'argument');
});

test('text that is not UTF-8 is replaced, and a BOM is kept', () => {
    const decoded = (...b) =>
        decodePackets(encodePacket(1, 0, bytes(...b))).packets[0].text();

    is(decoded(0x61, 0xff), 'a\ufffd');
    is(decoded(0xef, 0xbb, 0xbf, 0x61), '\ufeffa');
});


/* ---- auth ---- */

test('auth is JSON, its mid exact to 64 bits', () => {
    is(text(encodeAuth({ mid: 9223372036854775807n, key: 'k' })),
        '{"mid":9223372036854775807,"key":"k"}');
    is(text(encodeAuth({ mid: '-9223372036854775808' })),
        '{"mid":-9223372036854775808}');
    is(text(encodeAuth({})), '{"mid":0}');
    is(JSON.parse(text(encodeAuth({ mid: 5, key: '"\\', accepts: [1, 2] }))),
        { mid: 5, key: '"\\', accepts: [1, 2] });
});

test('a mid that is none is refused', () => {
    for (const mid of [1.5, NaN, Infinity, 'x', '1x', '', ' 5', '5 ', '+5',
                       '0x10', '1e3', '5n', '\u0665', {}, [], [5], true,
                       Symbol('5'), new Date(5), 9223372036854775808n,
                       '9223372036854775808', '-9223372036854775809'])
    {
        fails(() => checkMid(mid), 'argument');
    }
});

test('a number that may be another user is refused', () => {
    for (const mid of [9007199254740992, 9007199254740993, -9007199254740992,
                       2 ** 63, JSON.parse('9007199254740993')])
    {
        fails(() => checkMid(mid), 'argument');
        fails(() => new GoimClient({ url: 'ws://x', mid }), 'argument');
    }

    is(checkMid(9007199254740991), '9007199254740991');
    is(checkMid(-9007199254740991), '-9007199254740991');
    is(checkMid('9007199254740993'), '9007199254740993');
    is(checkMid(9007199254740993n), '9007199254740993');
    is(checkMid('0007'), '7');
});

test('operations are int32', () => {
    is(checkOperations([0, -1, 2147483647, -2147483648]),
        [0, -1, 2147483647, -2147483648]);

    for (const op of [1.5, 2147483648, NaN, '1', null, undefined]) {
        fails(() => checkOperations([op]), 'argument');
    }
});

test('a connection accepts at most 128 operations', () => {
    const many = Array.from({ length: 128 }, (_, i) => i);

    is(checkAccepts([...many, 5]).size, 128);
    fails(() => checkAccepts([...many, 128]), 'argument');
});

test('a room is type://id of at most 256 bytes, or nothing', () => {
    is([checkRoom('a://b'), checkRoom('a://b://c'), checkRoom('')],
        ['a://b', 'a://b://c', '']);
    is(checkRoom(`a://${'x'.repeat(252)}`).length, 256);

    for (const room of ['a', 'a://', '://b', 'a:/b', `é://${'x'.repeat(252)}`,
                        `a://${'x'.repeat(253)}`])
    {
        fails(() => checkRoom(room), 'argument');
    }
});

test('options are checked', () => {
    fails(() => new GoimClient(), 'argument');
    fails(() => new GoimClient({ url: 'ws://x', mid: 'me' }), 'argument');
    fails(() => new GoimClient({ url: 'ws://x', accepts: ['a'] }), 'argument');
    fails(() => new GoimClient({ url: 'ws://x', room: 'a' }), 'argument');
    fails(() => new GoimClient({ url: 'ws://x', key: 'k'.repeat(257) }),
        'argument');
});

test('a key is made by chance, kept, and may be empty', () => {
    const one = new GoimClient({ url: 'ws://x' });
    const two = new GoimClient({ url: 'ws://x' });

    ok(/^[0-9a-f]{32}$/.test(one.key), one.key);
    ok(one.key !== two.key, 'the same key twice');
    is(one.key, one.key);
    is(new GoimClient({ url: 'ws://x', key: '' }).key, '');
});


/* ---- nodes and backoff ---- */

const answer = () => ({
    code: 0,
    message: '',
    data: {
        domain: 'conn.goim.io', tcp_port: 3101, ws_port: 3102, wss_port: 3103,
        heartbeat: 240, heartbeat_max: 2, nodes: ['a.example', '192.0.2.1'],
        backoff: { max_delay: 300, base_delay: 3, factor: 1.8, jitter: 0.3 },
    },
});

test('a list of nodes is read, seconds as milliseconds', () => {
    is(parseNodes(answer()), {
        nodes: ['a.example', '192.0.2.1'],
        wsPort: 3102,
        wssPort: 3103,
        heartbeat: 240000,
        backoff: {
            maxDelay: 300000, baseDelay: 3000, factor: 1.8, jitter: 0.3,
        },
    });
});

test('what is no list of nodes is none', () => {
    for (const a of [null, undefined, 5, 'x', [], {}, { code: -500 },
                     { code: 0 }, { code: 0, data: null },
                     { code: 0, data: 'x' }])
    {
        is(parseNodes(a), null, JSON.stringify(a));
    }
});

test('fields that make no sense have their defaults', () => {
    const a = answer();

    Object.assign(a.data, {
        ws_port: 70000, wss_port: 'x', heartbeat: -1,
        nodes: ['ok', 5, null, 'a/b', 'x y', 'u@h', '', 'x'.repeat(300)],
        backoff: { max_delay: 'x', base_delay: -3, factor: 0, jitter: 7 },
    });

    const list = parseNodes(a);

    is(list.nodes, ['ok']);
    is([list.wsPort, list.wssPort, list.heartbeat], [0, 0, null]);
    is(list.backoff, checkBackoff());
});

test('a long list of nodes is cut', () => {
    const a = answer();

    a.data.nodes = Array.from({ length: 5000 }, (_, i) => `n${i}`);
    is(parseNodes(a).nodes.length, 100);
});

test('the address of a node', () => {
    const list = parseNodes(answer());

    is(nodeUrl(list, 'a.example', true, '/sub'), 'wss://a.example:3103/sub');
    is(nodeUrl(list, '192.0.2.1', false, '/x'), 'ws://192.0.2.1:3102/x');
    is(nodeUrl(list, '2001:db8::1', true, '/sub'),
        'wss://[2001:db8::1]:3103/sub');
    is(nodeUrl({ wsPort: 0 }, 'h', false, '/sub'), 'ws://h/sub');
});

test('the first wait is drawn from 0 to baseDelay', () => {
    const b = { baseDelay: 1000, factor: 2, jitter: 0.5, maxDelay: 10000 };

    is(backoffDelay(b, 0, () => 0), 0);
    is(backoffDelay(b, 0, () => 0.75), 750);
});

test('later waits grow, within jitter, up to maxDelay', () => {
    const b = { baseDelay: 1000, factor: 2, jitter: 0.5, maxDelay: 10000 };

    is([1, 2, 3, 4, 5, 6].map((n) => backoffDelay(b, n, () => 0.5)),
        [1000, 2000, 4000, 8000, 10000, 10000]);
    is(backoffDelay(b, 1, () => 0), 500);
    is(backoffDelay(b, 1, () => 1), 1500);
    is(backoffDelay(b, 1e6, () => 0.5), 10000, 'after a million failures');
});


/* ---- messages ---- */

test('a message is a line and its payload', () => {
    is(text(encodeSend({ to: 'live://"ü' }, 'hello\n')),
        '{"to":"live://\\"ü","operation":1000}\nhello\n');
    is(text(encodeSend({ to: 'a://b', operation: 7, id: 'x' })),
        '{"to":"a://b","operation":7,"id":"x"}\n');
    is(text(encodeSend({ mids: [1, '9223372036854775807', 3n] }, bytes(65))),
        '{"mids":[1,9223372036854775807,3],"operation":1000}\nA');
    fails(() => encodeSend({}, 'x'), 'argument');
    fails(() => encodeSend({ to: 'a://b', mids: [1] }, 'x'), 'argument');
    fails(() => encodeSend({ to: 'nowhere' }, 'x'), 'argument');
    fails(() => encodeSend({ mids: [2 ** 53] }, 'x'), 'argument');
    fails(() => encodeSend({ to: 'a://b', operation: 1.5 }, 'x'), 'argument');
    fails(() => encodeSend({ to: 'a://b' }, 'x'.repeat(4090)), 'argument');
});

test('what a message is answered', () => {
    const answer = (body) => checkSent({ body: encodeBody(body) });

    answer('{"code":0}');
    fails(() => answer(''), 'unsupported');

    for (const wrong of ['x', 'null', '{}', '{"code":"0"}']) {
        fails(() => answer(wrong), 'malformed');
    }

    let error = null;

    try {
        answer('{"code":-429,"reason":"too often","after":250}');
    } catch (e) {
        error = e;
    }

    is([error.code, error.status, error.after, error.message],
        ['refused', -429, 250, 'too often']);
});

test('a token says whether it lets its connection send', () => {
    const token = (claims) => `x.${btoa(JSON.stringify(claims))
        .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}.y`;

    is(maySend(token({ send: { rooms: ['a://~~?>'] } })), true);
    is(maySend(token({ send: { mids: true } })), true);
    is(maySend(token({ send: { rooms: [] } })), false);
    is(maySend(token({ rooms: ['a://b'] })), false);
    is(maySend(token({ send: ['a://b'] })), false);

    for (const wrong of ['', 'x', 'x.y.z', 'x.e30.y', `x.${btoa('7')}.y`]) {
        is(maySend(wrong), false);
    }
});

/*
 * Messages between people: what a client keeps until it is answered, and what it
 * makes of its inbox; said by the server that does wrong to order. What real
 * servers say is in t/web_im.t.
 */

import { Im } from '/goim_im.js';
import { decodeItem, parseExact, readItem } from '/goim_item.js';
import { GoimClient, Op } from '/goim.js';
import { encodeBody, encodePacket } from '/goim_packet.js';
import { fails, is, ok, rejects, test } from './lib.js';
import { batch, binary, inState, next, pause, rogue } from './rig.js';

const INBOX = 'im://inbox';
const MAX = 0x7fffffff;


function line(fields, body) {
    return `${JSON.stringify(fields)}\n${body}`;
}


/* The inbox's entry with this number: the message of that number, too. */
function entry(seq) {
    return { conv: 'p1.2', seq, n: seq, mid: 2, id: `c${seq}`, kind: 'msg',
        at: 1700000000000 };
}


function item(seq) {
    return encodePacket(Op.ITEM, (seq - 1) % MAX + 1,
        encodeBody(line(entry(seq), `i${seq}`)));
}


function items(...list) {
    return binary(batch(...list.map((seq) => item(seq))));
}


function told(at) {
    return binary(encodePacket(Op.POSITION, 0,
        encodeBody(JSON.stringify({ [INBOX]: at }))));
}


function answer(op, sequence, body) {
    return binary(encodePacket(op, sequence, encodeBody(
        typeof body === 'string' ? body : JSON.stringify(body))));
}


/* A client, its messages between people, and what their application hears. */
function people(im = {}, options = {}) {
    const it = rogue('', { mid: 1, ...options });

    it.heard = [];
    it.im = new Im(it.client, { retry: 1, ...im });

    for (const type of ['sent', 'refused']) {
        it.im.on(type, ({ id }) => { it.heard.push(`${type} ${id}`); });
    }

    it.im.on('item', (i) => { it.heard.push(i.text()); });
    it.im.on('recovered', (d) => { it.heard.push(`recovered ${d.count}`); });
    it.im.on('gap', ({ from, to, restarted }) => {
        it.heard.push(`gap ${from} ${to}${restarted ? ' restarted' : ''}`);
    });
    it.im.on('kicked', ({ code }) => { it.heard.push(`kicked ${code}`); });
    it.im.on('error', (e) => { it.heard.push(`error ${e.code}`); });

    /* all packets of an operation, of all connections */

    it.all = (log, op) => log.connections.flatMap((c, n) => c.packets
        .filter((p) => p.operation === op)
        .map((p) => ({ ...p, connection: n })));

    it.asked = async (op, n = 0) => it.all(await it.saw(
        (log) => it.all(log, op).length > n), op)[n];

    /* when it has heard so much */

    it.hears = async (...expected) => {
        for (let i = 0; i < 250 && it.heard.length < expected.length; i++) {
            await pause(20);
        }

        is(it.heard, expected, 'what it heard');
    };

    /* when its position is there */

    it.at = async (seq) => {
        for (let i = 0; i < 250 && it.im.position?.seq !== seq; i++) {
            await pause(20);
        }

        is(it.im.position?.seq, seq, 'position');
    };

    /* until the next connection is open */

    it.again = async (...actions) => {
        const lost = inState(it.client, 'waiting');

        await it.act(...actions);
        await lost;
        await inState(it.client, 'open');
    };

    return it;
}


test('lines and answers: mids are exact, payloads are bytes', () => {
    is(parseExact('{"a":9223372036854775807,"b":[9007199254740993,-7],"c":'
        + '"\\\\\\"9223372036854775807","d":1.2345678901234567890e1}'),
    { a: '9223372036854775807', b: ['9007199254740993', -7],
        c: '\\"9223372036854775807', d: 12.345678901234567 });

    const one = decodeItem(encodeBody(line({ mid: 7, conv: 'c' }, 'a\nb')));

    is([one.mid, one.conv, one.text()], ['7', 'c', 'a\nb']);
    is(decodeItem(encodeBody('{}')).body.length, 0);
    is([...readItem({ base64: '/wA=' }).body], [255, 0]);
    is(readItem({ body: 'ü', mid: 1 }).text(), 'ü');

    for (const wrong of ['', 'x', '7', 'null', '{', '\n{}']) {
        fails(() => decodeItem(encodeBody(wrong)), 'malformed');
    }
});

test('it needs a client with a mid that is not connected', async () => {
    const url = 'ws://127.0.0.1:1/sub';

    fails(() => new Im(new GoimClient({ url })), 'argument');
    fails(() => new Im(new GoimClient({ url, mid: 1 }), { outbox: 'x' }),
        'argument');
    fails(() => new Im(new GoimClient({ url, mid: 1 }), { position: 7 }),
        'argument');

    const client = new GoimClient({ url, mid: 1 });

    client.connect().catch(() => {});
    fails(() => new Im(client), 'argument');
    client.close();
});

test('a message is sent, and answered', async () => {
    const { im, client, asked, act, hears } = people();

    await client.connect();

    const sent = im.send(2n, 'hello\nyou', { id: 'c1', kind: 'note' });

    is(im.waiting.map((m) => m.id), ['c1']);

    const { text, sequence } = await asked(Op.SEND);

    is(text, '{"to":"2","id":"c1","kind":"note"}\nhello\nyou');
    await act(answer(Op.SEND_REPLY, sequence,
        { code: 0, conv: 'p1.2', seq: 9, at: 5 }));
    is(await sent, { conv: 'p1.2', seq: 9, at: 5 });
    is(im.waiting, []);
    await hears('sent c1');
    client.close();
});

test('without an answer the same is sent again, with the next connection',
    async () => {
        const { im, client, asked, act, again, hears } = people();

        im.send('2', 'before', { id: 'c0' });      /* connected later */
        await client.connect();

        const first = await asked(Op.SEND);

        im.send('2', 'behind', { id: 'c1' });
        im.send('g1.x', 'elsewhere', { id: 'c2' });
        await asked(Op.SEND, 1);

        await again(['drop']);
        const second = [await asked(Op.SEND, 2), await asked(Op.SEND, 3)]
            .sort((a, b) => (a.text < b.text ? -1 : 1));

        is(second[0].text, first.text, 'the same');
        is(second.map((p) => p.connection), [1, 1]);
        ok(second[1].text.includes('c2'), 'the other conversation\'s');

        await act(answer(Op.SEND_REPLY, second[0].sequence,
            { code: 0, conv: 'p1.2', seq: 1, at: 1 }));
        const third = await asked(Op.SEND, 4);

        ok(third.text.includes('"c1"'), 'then the one behind it');
        await act(answer(Op.SEND_REPLY, second[1].sequence,
            { code: 0, conv: 'g1.x', seq: 1, at: 1 }),
        answer(Op.SEND_REPLY, third.sequence,
            { code: 0, conv: 'p1.2', seq: 2, at: 1 }));
        await hears('sent c0', 'sent c2', 'sent c1');
        is(im.waiting, []);
        client.close();
    });

test('what can not be done now is asked again, what is refused is not',
    async () => {
        const { im, client, asked, act, hears } = people({},
            { requestTimeout: 300 });
        const sent = [im.send('2', 'x', { id: 'c1' }),
            im.send('2', 'y', { id: 'c2' })];

        await client.connect();

        const codes = [{ code: -504 }, { code: -429, after: 1 }, { code: -503 },
            'nonsense', null, { code: -403, reason: 'no' }];
        const refused = rejects(sent[0], 'refused');

        for (const [n, code] of codes.entries()) {
            const { text, sequence } = await asked(Op.SEND, n);

            ok(text.includes('"c1"'), `${n}: the first one`);

            if (code !== null) {
                await act(answer(Op.SEND_REPLY, sequence, code));
            }
        }

        await refused;
        const { text, sequence } = await asked(Op.SEND, codes.length);

        ok(text.includes('"c2"'), 'the next');
        await act(answer(Op.SEND_REPLY, sequence,
            { code: 0, conv: 'p1.2', seq: 1, at: 1 }));
        is((await sent[1]).seq, 1);
        await hears('refused c1', 'sent c2');
        client.close();
    });

test('what can not be sent at all is told at once', async () => {
    const { im, client } = people();

    await rejects(im.send('2', 'x'.repeat(4097)), 'argument');
    await rejects(im.send('2', 7), 'argument');
    is(im.waiting, []);
    await rejects(im.do('convs'), 'closed');
    fails(() => im.signal('2', 'typing'), 'closed');
    client.close();
});

test('a payload is the one of that moment', async () => {
    const { im, client, asked } = people();
    const bytes = new Uint8Array([65, 66]);

    im.send('2', bytes, { id: 'c' });
    bytes[0] = 90;
    await client.connect();
    is((await asked(Op.SEND)).text.split('\n')[1], 'AB');
    client.close();
});

test('messages in the browser\'s database outlive the page', async () => {
    const mid = String(1 + Math.floor(Math.random() * 2 ** 50));
    const kept = () => people({ outbox: 'indexeddb' }, { mid });
    const one = kept();

    one.im.send('2', 'first', { id: 'c1' });
    one.im.send('2', 'then', { id: 'c2' });
    await one.client.connect();
    const { sequence, text } = await one.asked(Op.SEND);

    await one.act(answer(Op.SEND_REPLY, sequence,
        { code: 0, conv: 'p', seq: 1, at: 1 }));
    await one.hears('sent c1');
    ok((await one.asked(Op.SEND, 1)).text.includes('"c2"'), 'the second');
    one.client.close();
    ok(text.includes('first'), 'the first');

    const stranger = people({ outbox: 'indexeddb' }, { mid: `${mid}1` });
    const two = kept();             /* as if the page was loaded again */

    await stranger.client.connect();
    await two.client.connect();
    const second = await two.asked(Op.SEND);

    is(second.text, '{"to":"2","id":"c2","kind":"msg"}\nthen');
    await two.act(answer(Op.SEND_REPLY, second.sequence,
        { code: 0, conv: 'p', seq: 2, at: 1 }));
    await two.hears('sent c2');
    is(stranger.all(await stranger.log(), Op.SEND), [], 'not another user\'s');
    two.client.close();
    stranger.client.close();

    const three = kept();

    await three.client.connect();
    await pause(100);
    is(three.all(await three.log(), Op.SEND), [], 'nothing is left');
    three.client.close();
});

test('commands: what they ask, what they are answered', async () => {
    const { im, client, asked, act } = people();

    await client.connect();

    const made = im.do('group/create', { id: 'team', mids: [2, 3n] });
    const create = await asked(Op.COMMAND);

    is(create.text, '{"do":"group/create","id":"team","mids":[2,"3"]}\n');
    await act(answer(Op.COMMAND_REPLY, create.sequence,
        { code: 0, data: { conv: 'g1.team' } }));
    is(await made, { conv: 'g1.team' });

    const list = im.conversations({ limit: 5 });
    const convs = await asked(Op.COMMAND, 1);

    is(convs.text, '{"do":"convs","limit":5}\n');
    await act(answer(Op.COMMAND_REPLY, convs.sequence,
        '{"code":0,"data":[{"conv":"p1.2","n":8,"read_n":5,"read":6,"at":7,'
        + '"last":{"conv":"p1.2","seq":9,"mid":9223372036854775807,'
        + '"body":"b"}}]}'));
    const [conv] = await list;

    is([conv.unread, conv.read, conv.last.mid, conv.last.text()],
        [3, 6, '9223372036854775807', 'b']);

    const page = im.history('p1.2', { before: 9, limit: 2 });
    const history = await asked(Op.COMMAND, 2);

    is(history.text, '{"do":"history","conv":"p1.2","before":9,"limit":2}\n');
    await act(answer(Op.COMMAND_REPLY, history.sequence, { code: 0,
        data: { seq: 9, read: 6, items: [{ seq: 8, base64: '/w==' }] } }));
    is((await page).items.map((i) => [i.seq, i.body[0]]), [[8, 255]]);

    const no = im.do('group/join', { conv: 'g1.x' });
    const join = await asked(Op.COMMAND, 3);

    await act(answer(Op.COMMAND_REPLY, join.sequence,
        { code: -404, message: 'no such group' }));
    const error = await no.catch((e) => e);

    is([error.code, error.status, error.message],
        ['refused', -404, 'no such group']);

    const none = im.do('convs');

    await act(answer(Op.COMMAND, (await asked(Op.COMMAND, 4)).sequence, ''));
    await rejects(none, 'unsupported');
    client.close();
});

test('a read cursor goes on until it is stored, and not back', async () => {
    const { im, client, asked, act, again, all, log } = people();
    const reads = [im.read('p1.2', 3)];

    await client.connect();
    is((await asked(Op.COMMAND)).text,
        '{"do":"read","conv":"p1.2","read":3}\n');
    reads.push(im.read('p1.2', 5), im.read('p1.2', 4));
    await again(['drop']);

    for (const [n, seq] of [[1, 3], [2, 5]]) {
        const { text, sequence } = await asked(Op.COMMAND, n);

        is(JSON.parse(text).read, seq);
        await act(answer(Op.COMMAND_REPLY, sequence, { code: 0 }));
    }

    await Promise.all(reads);
    await im.read('p1.2', 5);
    await im.read('p1.2', 2);
    is(all(await log(), Op.COMMAND).length, 3);

    const no = im.read('p1.2', 6);

    await act(answer(Op.COMMAND_REPLY, (await asked(Op.COMMAND, 3)).sequence,
        { code: -403, reason: 'not a member' }));
    await rejects(no, 'refused');
    client.close();
});

test('a signal goes without an answer, and comes', async () => {
    const { im, client, asked, act } = people();
    const came = next(im, 'signal');

    await client.connect();
    im.signal('g1.team', 'typing');
    is((await asked(Op.SIGNAL)).text, '{"to":"g1.team","kind":"typing"}\n');
    await act(binary(batch(encodePacket(Op.SIGNAL, 0, encodeBody('wrong')),
        encodePacket(Op.SIGNAL, 0, encodeBody(line(
            { conv: 'g1.team', mid: 2, kind: 'typing' }, 'x'))))));
    const { conv, mid, kind, text } = await came;

    is([conv, mid, kind, text.call(await came)],
        ['g1.team', '2', 'typing', 'x']);
    client.close();
});

/* ---- the inbox ---- */

test('the inbox: each once, in order, and again from there', async () => {
    const it = people();

    await it.client.connect();
    is(JSON.parse((await it.asked(Op.AUTH)).text).recover, { [INBOX]: {} });
    await it.act(told({ epoch: 'e', seq: 4, first: 1 }), items(5, 6));
    await it.hears('i5', 'i6');
    is(it.im.position, { epoch: 'e', seq: 6 });

    await it.again(['drop']);
    is(JSON.parse((await it.asked(Op.AUTH, 1)).text).recover,
        { [INBOX]: { epoch: 'e', seq: 6 } });
    await it.act(told({ epoch: 'e', seq: 6, first: 1, head: 8,
        recovered: true }), items(7, 8), items(9));
    await it.hears('i5', 'i6', 'recovered 2', 'i7', 'i8', 'i9');

    /* what is our own is no item */

    const own = [];

    it.im.on('read', ({ conv, read, inbox }) => own.push([conv, read, inbox]));
    it.im.on('conv', ({ conv, notify }) => own.push([conv, notify]));
    await it.act(binary(batch(
        encodePacket(Op.ITEM, 10, encodeBody('{"conv":"p1.2","kind":"read",'
            + '"read":9,"read_n":8}')),
        encodePacket(Op.ITEM, 11, encodeBody('{"conv":"p1.2","kind":"conv",'
            + '"notify":false,"ext":null}')))));
    await it.at(11);
    is(own, [['p1.2', 9, 10], ['p1.2', false]]);

    /* what was replaced is passed over; what does not follow is asked for */

    await it.act(told({ epoch: 'e', seq: 13, first: 1 }), items(14));
    await it.hears('i5', 'i6', 'recovered 2', 'i7', 'i8', 'i9', 'i14');
    await it.again(items(16));
    is(JSON.parse((await it.asked(Op.AUTH, 2)).text).recover,
        { [INBOX]: { epoch: 'e', seq: 14 } });
    await it.act(told({ epoch: 'f', seq: 3, first: 1, recovered: false }),
        items(4));
    await it.hears('i5', 'i6', 'recovered 2', 'i7', 'i8', 'i9', 'i14',
        'gap 1 3 restarted', 'i4');
    it.client.close();
});

test('a room and the inbox, each by itself', async () => {
    const it = people({}, { room: 'a://1', recover: true });
    const got = [];

    it.client.on('message', (m) => got.push([m.operation, m.seq]));
    await it.client.connect();
    is(JSON.parse((await it.asked(Op.AUTH)).text).recover,
        { 'a://1': {}, [INBOX]: {} });
    await it.act(binary(encodePacket(Op.POSITION, 0, encodeBody(JSON.stringify({
        'a://1': { epoch: 'r', seq: 7, first: 1 },
        [INBOX]: { epoch: 'e', seq: 1, first: 1 } })))),
    binary(batch(encodePacket(1000, 8, encodeBody('room')), item(2),
        encodePacket(1000, 9, encodeBody('room')), item(3))));
    await it.hears('i2', 'i3');
    is(got, [[1000, 8], [1000, 9]]);
    is([it.client.position, it.im.position],
        [{ epoch: 'r', seq: 9 }, { epoch: 'e', seq: 3 }]);
    it.client.close();
});

test('numbers begin anew after 2^31 - 1', async () => {
    const it = people({ position: { epoch: 'e', seq: MAX - 1 } });

    await it.client.connect();
    await it.act(told({ epoch: 'e', seq: MAX - 1, first: 1, recovered: true }),
        items(MAX, MAX + 1));
    await it.hears('recovered 0', `i${MAX}`, `i${MAX + 1}`);
    is(it.im.position.seq, MAX + 1);
    it.client.close();
});

test('the position waits for who handles an item', async () => {
    const it = people();
    let release;

    it.im.on('item', ({ seq }) => (seq !== 2 ? undefined
        : new Promise((resolve) => { release = resolve; })));
    await it.client.connect();
    await it.act(told({ epoch: 'e', seq: 0, first: 1 }), items(1, 2, 3));
    await it.hears('i1', 'i2', 'i3');
    is(it.im.position.seq, 1);
    release();
    await it.at(3);
    it.client.close();
});

/* ---- the end ---- */

test('who was sent away does not come back, and is told so', async () => {
    const it = people();

    await it.client.connect();
    await it.act(binary(encodePacket(Op.DISCONNECT, 0, encodeBody(
        '{"code":4500,"reason":"another device","again":false}'))));
    await it.hears('kicked 4500');
    is(it.client.state, 'closed');
    await pause(50);
    is((await it.log()).connections.length, 1);
    it.client.close();

    const never = people();

    await never.client.connect();
    never.client.close();
    await never.hears();
});

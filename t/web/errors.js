/*
 * What a server says by operation 6: why it refuses something, and that the
 * client's token ends; said by the server that does wrong to order.
 */

import { Op } from '/goim.js';
import { encodeBody, encodePacket, parseWord } from '/goim_packet.js';
import { fails, is, ok, rejects, test } from './lib.js';
import { binary, collect, end, inState, next, pause, rogue } from './rig.js';


function word(body) {
    return binary(encodePacket(Op.DISCONNECT, 0,
        encodeBody(typeof body === 'string' ? body : JSON.stringify(body))));
}


function answer(op, sequence, text = '') {
    return binary(encodePacket(op, sequence, encodeBody(text)));
}


/* A client that is in; it.asked(op, n): the nth packet of an operation. */
async function open(options = {}) {
    const it = rogue('once', { room: 'a://1', accepts: [1], ...options });

    it.refusals = [];
    it.problems = [];
    it.client.on('refused', (d) => it.refusals.push(d));
    it.client.on('error', (e) => it.problems.push(e.code));
    it.packets = (log, op) => log.connections.at(-1).packets
        .filter((p) => p.operation === op);
    it.asked = async (op, n = 0) => it.packets(await it.saw(
        (log) => it.packets(log, op).length > n), op)[n];
    it.auths = async (n) => JSON.parse((await it.asked(Op.AUTH, n)).text);

    await it.client.connect();

    return it;
}


test('operation 6 is read by its code, whatever is wrong in it', async () => {
    is(parseWord('{"code":1012,"again":null}'),
        { code: 1012, reason: '', again: true });
    is(parseWord('{"code":1008,"reason":"x","again":false}'),
        { code: 1008, reason: 'x', again: false });
    is(parseWord('{"code":-4003,"in":60}'), { code: -4003, in: 60 });
    is(parseWord('{"code":-4003,"in":"soon"}'), { code: -4003, in: 0 });
    is(parseWord('{"code":-403}'),
        { code: -403, reason: '', operation: 0, seq: 0 });
    is(parseWord('{"code":-403,"seq":1,"operation":14,"operations":[2],"x":1}'),
        { code: -403, reason: '', operation: 14, seq: 1, operations: [2] });

    for (const text of ['', '6', 'null', '{}', '{"code":"1"}', '{"code":1.5}']) {
        fails(() => parseWord(text), 'malformed');
    }
});

test('it asks for reasons, unless it was told not to', async () => {
    const it = await open();
    const other = await open({ errors: false });

    is((await it.auths(0)).errors, 1);
    ok(!('errors' in await other.auths(0)), 'errors');
    it.client.close();
    other.client.close();
});

test('a refused room: the reason, and we stay', async () => {
    const { client, act, asked, refusals } = await open();
    const change = client.changeRoom('b://2');
    const { sequence } = await asked(12);
    const said = { code: -403, reason: 'no', operation: 12, seq: sequence };

    act(word(said), answer(13, sequence, 'a://1'));

    const error = await change.catch((e) => e);

    is([error.code, error.status, error.message, error.cause],
        ['refused', -403, 'no', said]);
    is([client.room, client.state, refusals], ['a://1', 'open', [said]]);
    client.close();
});

test('refused operations are accepted no longer', async () => {
    const { client, act, asked } = await open();
    const sub = client.sub([1, 2, 3]);
    const { sequence } = await asked(14);

    is(client.accepts, [1, 2, 3]);
    act(word({ code: -403, reason: 'not 3', operation: 14,
        seq: sequence }), answer(15, sequence, '1,2,3'));
    is((await sub.catch((e) => e)).message, 'not 3');
    is(client.accepts, [1]);
    client.close();
});

test('a refused packet, among others that are not', async () => {
    const { client, act, asked, refusals } = await open();
    const sent = [client.send(4, 'a'), client.send(4, 'b'), client.send(100)];
    const numbers = [(await asked(4, 0)).sequence, (await asked(4, 1)).sequence,
        (await asked(100)).sequence];
    const said = { code: -503, reason: 'later', operation: 4, seq: numbers[1] };

    /* of other numbers and operations: they refuse nothing of ours */

    act(word(said), word({ ...said, operation: 100, seq: numbers[0] }),
        word({ ...said, seq: 12345 }), answer(5, numbers[0]),
        answer(5, numbers[1]), answer(100, numbers[2]));
    is((await sent[0]).operation, 5);
    await rejects(sent[1], 'refused');
    is((await sent[2]).operation, 100);
    is(refusals.length, 3);
    client.close();
});

test('what is taken from it: its room, and operations', async () => {
    const { client, act, refusals } = await open({ accepts: [1, 2, 3] });

    act(word({ code: -403, reason: 'gone', operation: 12, seq: 0 }),
        word({ code: -403, reason: 'gone', operation: 14, seq: 0,
            operations: [1, 3] }),
        word({ code: -403, reason: 'gone', operation: 14, seq: 0 }), end());
    await collect(client).end;
    is([client.room, client.accepts, refusals.length], ['', [2], 3]);
    client.close();
});

test('the last words count before the close frame', async () => {
    const { client, act } = await open();
    const denied = next(client, 'denied');

    act(word({ code: 1008, reason: 'whatever', again: false }));
    ok((await denied).message.includes('whatever'), 'its reason');
    is(client.state, 'closed');
});

test('words that are none: the connection is made anew', async () => {
    const { client, act } = await open();

    act(word('no words'));
    await inState(client, 'waiting');
    await inState(client, 'open');
    client.close();
});

test('before the token ends it gets a new one, and shows it', async () => {
    let n = 0;
    const it = await open({ token: async () => `token ${++n}` });

    it.act(word({ code: -4003, in: 60 }));
    is(await it.auths(1), { token: 'token 2' });
    it.act(answer(8, (await it.asked(Op.AUTH, 1)).sequence), end());
    await collect(it.client).end;
    it.act(word({ code: -4003, in: 60 }));
    is(await it.auths(2), { token: 'token 3' });
    is([it.client.state, it.problems, n], ['open', [], 3]);
    it.client.close();
});

test('a new token that is refused is an error, and the connection goes on',
    async () => {
        const it = await open({ token: () => 'token' });

        it.act(word({ code: -4003, in: 5 }));

        const { sequence } = await it.asked(Op.AUTH, 1);
        const error = next(it.client, 'error');

        it.act(word({ code: -403, reason: 'old', operation: 7,
            seq: sequence }), answer(7, sequence));
        is((await error).message, 'old');
        is([it.client.state, it.refusals.length], ['open', 1]);
        it.client.close();
    });

test('so is a function that fails; and one that comes too late is nothing',
    async () => {
        let n = 0;
        let late;
        const it = await open({ token: () => {
            switch (n++) {
            case 1: throw new Error('no token');
            case 2: return new Promise((resolve) => { late = resolve; });
            default: return 'token';
            }
        } });

        it.problems.length = 0;

        const error = next(it.client, 'error');

        it.act(word({ code: -4003, in: 5 }));
        is((await error).message, 'no token');
        it.act(word({ code: -4003, in: 5 }));
        await it.saw(() => late !== undefined);
        it.act(['close', 4003, 'token expired']);
        await inState(it.client, 'waiting');
        await inState(it.client, 'open');
        late('late');
        await pause(50);
        is([(await it.auths(0)).token, n], ['token', 4]);
        is(it.packets(await it.log(), Op.AUTH).length, 1, 'auths');
        it.client.close();
    });

test('a token that does not change is not shown again', async () => {
    const it = await open({ token: 'token' });
    const denied = next(it.client, 'denied');

    it.act(word({ code: -4003, in: 60 }), end());
    await collect(it.client).end;
    await pause(50);
    is(it.packets(await it.log(), Op.AUTH).length, 1, 'auths');
    it.act(word({ code: 4003, reason: 'token expired', again: false }));
    await denied;
    is(it.client.state, 'closed');
});

test('an ended token is denied without a function, with and without words',
    async () => {
        const it = await open();
        const denied = next(it.client, 'denied');

        it.act(['close', 4003, 'token expired']);
        await denied;

        const other = await open({ token: () => 'token' });

        other.act(word({ code: 4003, reason: 'token expired', again: false }));
        await inState(other.client, 'waiting');
        await inState(other.client, 'open');
        other.client.close();
    });

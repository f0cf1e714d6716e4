/*
 * goim's packets: sixteen bytes of header, big-endian, and a body.
 */

export const HEADER = 16;
export const VERSION = 1;
export const MAX_BODY = 4096;       /* of a client's packet */
export const MAX_NAME = 256;        /* bytes of a key or a room */
export const MAX_ACCEPTS = 128;     /* operations of one connection */

export const Op = Object.freeze({
    HEARTBEAT: 2, HEARTBEAT_REPLY: 3,
    SEND: 4, SEND_REPLY: 5,
    DISCONNECT: 6,
    AUTH: 7, AUTH_REPLY: 8,
    RAW: 9,
    CHANGE_ROOM: 12, CHANGE_ROOM_REPLY: 13,
    SUB: 14, SUB_REPLY: 15,
    UNSUB: 16, UNSUB_REPLY: 17,
    COMMAND: 18, COMMAND_REPLY: 19, ITEM: 20, SIGNAL: 22,
    POSITION: 23,
});

/* what an application leaves to its client */
export const RESERVED = new Set([
    Op.HEARTBEAT, Op.HEARTBEAT_REPLY, Op.AUTH, Op.AUTH_REPLY, Op.RAW,
    Op.CHANGE_ROOM, Op.SUB, Op.UNSUB,
]);

/* codes of operation 6: the token ends soon; it has ended */
export const EXPIRES = -4003;
export const EXPIRED = 4003;

/* codes with which the application ends a connection for good */
const STAY = 4500;
const STAY_LAST = 4999;

/* whether a client comes back after a close frame with that code */
export function comesBack(code) {
    return code < STAY || code > STAY_LAST;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });


/*
 * `code` is one of: argument, busy, closed, denied, lost, malformed, nodes,
 * refused, replaced, storage, timeout, unsupported.
 */
export class GoimError extends Error {
    constructor(code, message, options) {
        super(message, options);
        this.name = 'GoimError';
        this.code = code;
    }
}


export function encodePacket(operation, sequence, body = new Uint8Array(0)) {
    const out = new Uint8Array(HEADER + body.length);
    const view = new DataView(out.buffer);

    view.setInt32(0, out.length);
    view.setInt16(4, HEADER);
    view.setInt16(6, VERSION);
    view.setInt32(8, operation);
    view.setInt32(12, sequence);
    out.set(body, HEADER);

    return out;
}


/*
 * The packets in `bytes`, back to back. What stands before a malformed one is
 * returned together with `error`, the reason; it is null when all is well.
 * Bodies are views into `bytes`.
 */
export function decodePackets(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const packets = [];
    let pos = 0;

    while (pos < bytes.length) {
        const left = bytes.length - pos;

        if (left < HEADER) {
            return { packets, error: `${left} bytes are no packet` };
        }

        const length = view.getInt32(pos);

        if (view.getInt16(pos + 4) !== HEADER) {
            return { packets, error: 'header length is not 16' };
        }

        if (length < HEADER || length > left) {
            return {
                packets,
                error: `packet length ${length} with ${left} bytes there`,
            };
        }

        packets.push({
            version: view.getInt16(pos + 6),
            operation: view.getInt32(pos + 8),
            sequence: view.getInt32(pos + 12),
            body: bytes.subarray(pos + HEADER, pos + length),
            text() { return decoder.decode(this.body); },
        });

        pos += length;
    }

    return { packets, error: null };
}


/* The number in a heartbeat's answer; null: there is none. */
export function decodeOnline({ body }) {
    return body.length < 4 ? null
        : new DataView(body.buffer, body.byteOffset).getInt32(0);
}


/*
 * The body of operation 6: { code } and, by that, { reason, again }, { in } or
 * { reason, operation, seq, operations }; what is missing or of another type is
 * harmless.
 */
export function parseWord(text) {
    let word;

    try {
        word = JSON.parse(text);
    } catch {
        word = null;
    }

    if (!Number.isInteger(word?.code)) {
        throw new GoimError('malformed', 'no code in operation 6');
    }

    const number = (n) => (Number.isFinite(n) ? n : 0);

    if (word.code > 0) {
        return { code: word.code, reason: String(word.reason ?? ''),
            again: word.again !== false };
    }

    if ('in' in word) {
        return { code: word.code, in: number(word.in) };
    }

    return { code: word.code, reason: String(word.reason ?? ''),
        operation: number(word.operation), seq: number(word.seq),
        ...(Array.isArray(word.operations)
            ? { operations: word.operations } : {}) };
}


/* A body as bytes: text, an ArrayBuffer or a view of one, or nothing. */
export function encodeBody(body) {
    let bytes;

    if (body === undefined || body === null) {
        bytes = new Uint8Array(0);

    } else if (typeof body === 'string') {
        bytes = encoder.encode(body);

    } else if (body instanceof ArrayBuffer) {
        bytes = new Uint8Array(body);

    } else if (ArrayBuffer.isView(body)) {
        bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);

    } else {
        throw new GoimError('argument', 'body is neither text nor bytes');
    }

    if (bytes.length > MAX_BODY) {
        throw new GoimError('argument',
            `body of ${bytes.length} bytes, at most ${MAX_BODY} are allowed`);
    }

    return bytes;
}


/* A mid has 64 bits: JSON.stringify() alone would round it. */
export function encodeAuth({ mid, ...rest }) {
    const text = JSON.stringify(rest);
    const tail = text === '{}' ? '}' : `,${text.slice(1)}`;

    return encodeBody(`{"mid":${checkMid(mid)}${tail}`);
}


/*
 * The mid in decimal. A number that is no longer sure to be the one that was
 * meant is refused: it would be somebody else's.
 */
export function checkMid(mid) {
    const given = mid ?? 0;
    const whole = typeof given === 'bigint' || Number.isSafeInteger(given)
        || (typeof given === 'string' && /^-?[0-9]+$/.test(given));

    if (!whole) {
        throw new GoimError('argument', `mid ${String(mid)} is not a BigInt, `
            + 'a safe integer or decimal text');
    }

    const n = BigInt(given);

    if (BigInt.asIntN(64, n) !== n) {
        throw new GoimError('argument', `mid ${mid} has more than 64 bits`);
    }

    return n.toString();
}


export function checkOperations(list) {
    const ops = [...list];

    for (const op of ops) {
        if (!Number.isInteger(op) || (op | 0) !== op) {
            throw new GoimError('argument', `operation ${op} is not an int32`);
        }
    }

    return ops;
}


/* A room's key as text: type://id, or nothing. */
export function checkRoom(room) {
    const text = checkName(room ?? '');

    if (text !== '' && !/^.+?:\/\/./su.test(text)) {
        throw new GoimError('argument', `room ${text} is not type://id`);
    }

    return text;
}


export function checkName(name) {
    const text = String(name);

    if (encoder.encode(text).length > MAX_NAME) {
        throw new GoimError('argument',
            `name of more than ${MAX_NAME} bytes`);
    }

    return text;
}


export function checkAccepts(operations) {
    const set = new Set(checkOperations(operations));

    if (set.size > MAX_ACCEPTS) {
        throw new GoimError('argument',
            `${set.size} operations, at most ${MAX_ACCEPTS} are allowed`);
    }

    return set;
}

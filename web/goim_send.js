/*
 * Messages that a client sends to rooms and users by itself: a first line and
 * the payload, and what the server answers.
 */

import {
    GoimError, checkMid, checkOperations, checkRoom, encodeBody,
} from './goim_packet.js';

const OPERATION = 1000;             /* where none is named */

const encoder = new TextEncoder();
const decoder = new TextDecoder();


/* { to } or { mids }, and operation and id. The line's text. */
export function sendLine({ to, mids, operation = OPERATION, id }) {
    const [op] = checkOperations([operation]);
    const rest = `"operation":${op}`
        + (id === undefined ? '' : `,"id":${JSON.stringify(String(id))}`);

    if ((to === undefined) === (mids === undefined)) {
        throw new GoimError('argument', 'to or mids is needed, not both');
    }

    /* mids have 64 bits: JSON.stringify() alone would round them */

    return to === undefined
        ? `{"mids":[${[...mids].map(checkMid).join(',')}],${rest}}`
        : `{"to":${JSON.stringify(checkRoom(to))},${rest}}`;
}


export function encodeSend(where, payload) {
    return encodeLine(sendLine(where), payload);
}


/* A body of a first line and the payload. */
export function encodeLine(line, payload) {
    const first = encoder.encode(`${line}\n`);
    const bytes = encodeBody(payload);
    const out = new Uint8Array(first.length + bytes.length);

    out.set(first);
    out.set(bytes, first.length);

    return encodeBody(out);
}


/* codes of answers after which the same may be asked again */
const LATER = new Set([-429, -502, -503, -504]);


/* Whether it is the connection's end that a request rejected with. */
export function ended(error) {
    return ['closed', 'denied', 'lost', 'replaced'].includes(error.code);
}


/* Whether a request that rejected so may get another answer later. */
export function passes(error) {
    return ['busy', 'malformed', 'timeout'].includes(error.code)
        || (error.code === 'refused' && LATER.has(error.status));
}


/* What the answer says, or throws it. */
export function checkSent({ body }, parse = JSON.parse) {
    let answer;

    if (body.length === 0) {
        throw new GoimError('unsupported', 'this connection may not send');
    }

    try {
        answer = parse(decoder.decode(body));
    } catch {
        answer = null;
    }

    if (!Number.isInteger(answer?.code)) {
        throw new GoimError('malformed', 'the answer to a message is none');
    }

    if (answer.code !== 0) {
        const error = new GoimError('refused',
            String(answer.reason ?? answer.message));

        error.status = answer.code;
        error.after = answer.after ?? null;
        throw error;
    }

    return answer;
}


/* Whether a signed token lets its connection send, as far as it says itself. */
export function maySend(token) {
    try {
        const part = token.split('.')[1].replaceAll('-', '+')
            .replaceAll('_', '/');
        const { send } = JSON.parse(atob(part));

        return send?.rooms?.length > 0 || send?.mids === true;

    } catch {
        return false;
    }
}

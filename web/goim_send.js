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
    const line = encoder.encode(`${sendLine(where)}\n`);
    const bytes = encodeBody(payload);
    const out = new Uint8Array(line.length + bytes.length);

    out.set(line);
    out.set(bytes, line.length);

    return encodeBody(out);
}


/* Throws what the answer says. */
export function checkSent({ body }) {
    let answer;

    if (body.length === 0) {
        throw new GoimError('unsupported', 'this connection may not send');
    }

    try {
        answer = JSON.parse(decoder.decode(body));
    } catch {
        answer = null;
    }

    if (!Number.isInteger(answer?.code)) {
        throw new GoimError('malformed', 'the answer to a message is none');
    }

    if (answer.code !== 0) {
        const error = new GoimError('refused', String(answer.reason));

        error.status = answer.code;
        error.after = answer.after ?? null;
        throw error;
    }
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

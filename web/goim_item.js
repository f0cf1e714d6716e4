/*
 * Messages between people as they are on the wire: lines of JSON before a
 * payload, and the answers to commands.
 */

import { GoimError, encodeBody } from './goim_packet.js';
import { checkSent, encodeLine } from './goim_send.js';

const NEWLINE = 10;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });


/* JSON in which numbers that JavaScript would round, as mids, come as text. */
export function parseExact(text) {
    const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

    return JSON.parse(text.replace(tokens, (token) => (
        /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token))
            ? `"${token}"` : token)));
}


/* A line with its parameters, of which BigInts are mids. */
function line(parameters) {
    return JSON.stringify(parameters, (name, value) => (
        typeof value === 'bigint' ? value.toString() : value));
}


export function encodeParameters(parameters, payload) {
    return encodeLine(line(parameters), payload);
}


/* As the application gets it: the mid is text, the body is bytes. */
function item(fields, body) {
    return {
        ...fields,
        mid: String(fields.mid ?? 0),
        body,
        text() { return decoder.decode(this.body); },
    };
}


/* A line and a payload: an item (operation 20) or a signal (22). */
export function decodeItem(bytes) {
    const end = bytes.indexOf(NEWLINE);
    let fields;

    try {
        fields = parseExact(decoder.decode(bytes.subarray(0,
            end < 0 ? bytes.length : end)));
    } catch {
        fields = null;
    }

    if (typeof fields !== 'object' || fields === null) {
        throw new GoimError('malformed', 'an item without its line');
    }

    return item(fields, end < 0 ? new Uint8Array(0) : bytes.subarray(end + 1));
}


/* An item in an answer, where its payload is text, or base64 of what is none. */
export function readItem({ body, base64, ...fields }) {
    return item(fields, base64 === undefined ? encoder.encode(body ?? '')
        : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
}


/* What an answer says, or throws it. */
export function readAnswer(answer) {
    return checkSent(answer, parseExact);
}


/* Bytes of our own, as the caller may go on with his. */
export function copyBody(payload) {
    return encodeBody(payload).slice();
}

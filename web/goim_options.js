/*
 * What an application may say of its client.
 */

import { GoimError, checkAccepts, checkMid, checkName, checkRoom }
    from './goim_packet.js';

const DEFAULTS = {
    url: null,
    nodesUrl: null,
    path: '/sub',
    secure: null,
    mid: 0,
    key: null,
    room: '',
    accepts: [],
    platform: 'web',
    token: null,
    errors: true,
    recover: false,
    position: null,
    last: null,
    storage: null,
    heartbeat: null,
    heartbeatTimeout: 10000,
    connectTimeout: 10000,
    requestTimeout: 10000,
    backoff: null,
    WebSocket: null,
    fetch: null,
};


export function randomKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));

    return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}


/*
 * All of them, checked; key, room and accepts as the client has them, and who,
 * the mid as text.
 */
export function checkOptions(options) {
    const o = { ...DEFAULTS, ...options };

    if (!o.url && !o.nodesUrl) {
        throw new GoimError('argument', 'url or nodesUrl is needed');
    }

    o.WebSocket ??= globalThis.WebSocket;
    o.fetch ??= globalThis.fetch?.bind(globalThis);
    o.secure ??= globalThis.location?.protocol !== 'http:';

    if (!o.WebSocket) {
        throw new GoimError('unsupported', 'there is no WebSocket');
    }

    o.who = checkMid(o.mid);
    o.key = checkName(o.key ?? randomKey());
    o.room = checkRoom(o.room);
    o.accepts = checkAccepts(o.accepts);

    if (!o.recover && (o.position ?? o.last ?? o.storage) !== null) {
        throw new GoimError('argument',
            'position, last and storage are for who recovers');
    }

    return o;
}

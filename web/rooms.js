/*
 * The demo page. What comes from the network reaches the page by textContent
 * alone.
 */

import { GoimClient, Op } from './goim.js';
import { maySend, sendLine } from './goim_send.js';

const MAX_SHOWN = 500;              /* messages kept in the page */
const MAX_CHARS = 4000;             /* of one of them */
const TOTAL_EVERY = 5000;
const MIDS = 1000000;               /* of which a user gets one by chance */

const STATES = {
    closed: 'Not connected',
    connecting: 'Connecting…',
    auth: 'Signing in…',
    open: 'Connected',
    waiting: 'Connection lost',
    denied: 'Refused by the service',
    replaced: 'Replaced by another window with the same key',
};

const $ = (id) => document.getElementById(id);

/* the application that signs tokens; empty: they come from the form */
const application = document.querySelector('meta[name=goim-token]').content;

let client = null;
let token = '';                     /* the application's last one */
let received = 0;
let waiting = [];                   /* entries not in the page yet */
let flushTimer = null;
let following = true;               /* the newest message is kept in view */
let lastTop = 0;


/* ---- messages ---- */

function element(name, className, text) {
    const e = document.createElement(name);

    e.className = className;
    e.textContent = text;

    return e;
}


function timeElement(date) {
    const e = element('time', '', date.toLocaleTimeString([], {
        hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false,
    }));

    e.dateTime = date.toISOString();

    return e;
}


function show(className, ...parts) {
    const item = element('li', className, '');

    item.append(timeElement(new Date()), ...parts);
    waiting.push(item);

    if (waiting.length > MAX_SHOWN) {
        waiting.shift();
    }

    /* many messages may come at once: the page changes once for all */

    flushTimer ??= setTimeout(flush, 0);
}


/* The newest message stays in view until the reader scrolls up. */

function onScroll() {
    const log = $('log');
    const up = log.scrollTop < lastTop;

    if (log.scrollHeight - log.scrollTop - log.clientHeight < 40) {
        following = true;

    } else if (up) {
        following = false;
    }

    lastTop = log.scrollTop;
}


function follow() {
    const log = $('log');

    if (following) {
        log.scrollTop = log.scrollHeight;
        lastTop = log.scrollTop;
    }
}


function flush() {
    const list = $('list');

    onScroll();
    flushTimer = null;
    list.append(...waiting);
    waiting = [];

    while (list.children.length > MAX_SHOWN) {
        list.firstElementChild.remove();
    }

    $('empty').hidden = list.children.length > 0;
    $('received').textContent = received;
    $('my-position').textContent = client?.position?.seq ?? '–';

    follow();
}


function note(text, className = '') {
    show(`note ${className}`, element('span', 'body', text));
}


function onMessage(message) {
    let text = message.text();

    received++;

    if (text.length > MAX_CHARS) {
        text = `${text.slice(0, MAX_CHARS)}… (${message.body.length} bytes)`;
    }

    show(message.missed ? 'missed' : '',
        element('span', 'op', message.operation),
        element('span', 'body', text),
        element('span', 'seq', message.seq ? `#${message.seq}` : ''));
}


function onRecovered({ count }) {
    const what = ['Nothing was missed', 'One message was missed: here it is'];

    note(what[count] ?? `${count} messages were missed: here they are`,
        'recovered');
}


function onGap({ from, to, restarted }) {
    let what;

    if (restarted) {
        what = 'The numbers begin anew: messages may have been missed';
    } else if (to === null) {
        what = `Messages from number ${from} on may have been missed`;
    } else {
        what = `Messages number ${from} to ${to} were missed`;
    }

    note(`${what}. They are no longer kept.`, 'gap');
}


/* ---- the connection ---- */

function operations(text) {
    return text.split(/[\s,]+/).filter((s) => s !== '').map(Number);
}


function setState(name) {
    const live = client !== null;

    document.documentElement.dataset.state = name;
    $('status-text').textContent = STATES[name];

    for (const id of ['mid', 'key', 'token', 'server']) {
        $(id).disabled = live;
    }

    $('enter').textContent = live ? 'Change' : 'Join';
    $('leave').disabled = !live;
    $('retry').hidden = name !== 'waiting';

    if (name !== 'open') {
        $('online').textContent = '–';
    }

    showCountdown();
    showConnection();
}


function showConnection() {
    $('my-room').textContent = client?.room || '–';
    $('my-mid').textContent = client?.mid ?? '–';
    $('my-key').textContent = client?.key ?? '–';
    $('my-url').textContent = client?.url ?? '–';
}


function showCountdown() {
    const at = client?.retryAt ?? null;
    const out = $('countdown');

    out.hidden = at === null;

    if (at !== null) {
        const left = Math.max(0, Math.ceil((at - Date.now()) / 1000));

        out.textContent = `next attempt in ${left} s`;
    }
}


/* A token of the user in the form: at each login, and before one ends. */
async function askToken() {
    const query = new URLSearchParams({ mid: $('mid').value });
    const response = await fetch(`${application}?${query}`);
    const text = await response.text();

    if (!response.ok) {
        throw new Error(`no token from the application: ${text}`);
    }

    token = text;
    showCommand();

    return token;
}


/* What the client shows: as it was typed, or asked for; null: there is none. */
function tokenSource() {
    if ($('token').value !== '') {
        return $('token').value;
    }

    return application === '' ? null : askToken;
}


/* null where the browser keeps none for this page */
function storage() {
    try {
        return sessionStorage;
    } catch {
        return null;
    }
}


async function join() {
    const nodes = $('server').value === 'nodes';
    const here = new URL('/sub', location.href);

    here.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

    client = new GoimClient({
        url: nodes ? null : here.href,
        nodesUrl: '/goim/nodes/weighted',
        mid: BigInt($('mid').value),
        key: $('key').value || null,
        token: tokenSource(),
        room: $('room').value,
        accepts: operations($('accepts').value),
        recover: true,
        storage: storage(),
        heartbeat: 5000,            /* it brings the number online */
    });

    client.on('state', ({ state, error }) => {
        if (state === 'closed') {
            client = null;
        }

        if (state === 'waiting' && error) {
            note(error.message);
        }

        if (state === 'open') {
            showTotal();
        }

        setState(state);
    });

    client.on('message', onMessage);
    client.on('recovered', onRecovered);
    client.on('gap', onGap);
    client.on('error', (error) => note(error.message));
    client.on('refused', ({ seq, reason }) => {
        if (seq === 0) {
            note(reason);
            showConnection();
        }
    });
    client.on('online', (count) => { $('online').textContent = count; });

    for (const end of ['denied', 'replaced']) {
        client.on(end, (error) => {
            note(error.message);
            setState(end);
        });
    }

    $('key').value = client.key;
    client.connect();
}


async function change() {
    const wanted = new Set(operations($('accepts').value));
    const had = new Set(client.accepts);

    await client.changeRoom($('room').value);
    await client.sub([...wanted].filter((op) => !had.has(op)));
    await client.unsub([...had].filter((op) => !wanted.has(op)));
    showConnection();
    note(client.room === '' ? 'in no room' : `in room ${client.room}`);
}


async function showTotal() {
    if (document.visibilityState === 'hidden') {
        return;
    }

    try {
        const response = await fetch('/goim/online/total');
        const answer = await response.json();

        $('total').textContent = Number(answer.data.conn_count);

    } catch {
        $('total').textContent = '–';
    }
}


/* ---- sending ---- */

/*
 * Who may send, sends as a user, by the connection; who may not, pushes as a
 * backend does. { to } or { mids }, and the operation; null: that is a push.
 */
function ownMessage() {
    const target = $('target').value;
    const operation = Number($('operation').value);

    if (!maySend($('token').value || token)) {
        return null;
    }

    if (target === 'room') {
        return { to: client?.room ?? $('room').value, operation };
    }

    return target === 'mids' ? { mids: [$('who').value], operation } : null;
}


async function post(where) {
    if (client === null) {
        throw new Error('not connected');
    }

    await client.post(where, $('text').value);

    return 'Sent';
}


/* Where a push goes: the path and query of the API's call. */
function pushCall() {
    const target = $('target').value;
    const query = new URLSearchParams({ operation: $('operation').value });

    if (target === 'room') {
        const room = client?.room ?? $('room').value;
        const at = room.indexOf('://');

        query.set('type', at < 0 ? '' : room.slice(0, at));
        query.set('room', at < 0 ? '' : room.slice(at + 3));

    } else if (target !== 'all') {
        query.set(target, $('who').value);
    }

    return `/goim/push/${target}?${query}`;
}


async function push() {
    const response = await fetch(pushCall(), {
        method: 'POST',
        headers: { 'Content-Type': 'application/octet-stream' },
        body: $('text').value,
    });
    const answer = await response.json().catch(() => null);

    if (answer === null) {
        throw new Error(`the API answered with status ${response.status}`);
    }

    if (answer.code !== 0) {
        throw new Error(`code ${answer.code}: ${answer.message}`);
    }

    return 'Accepted';
}


async function sendBySocket() {
    if (client === null) {
        throw new Error('not connected');
    }

    const reply = await client.send(Number($('operation').value),
        $('text').value);

    return `Answered by operation ${reply.operation}`;
}


async function send() {
    const result = $('result');

    if ($('text').value === '') {
        return;
    }

    $('submit').disabled = true;

    try {
        const own = ownMessage();

        if (own !== null) {
            result.textContent = await post(own);
        } else {
            result.textContent = await ($('target').value === 'socket'
                ? sendBySocket() : push());
        }

        result.className = 'hint';
        $('text').value = '';

    } catch (e) {
        result.textContent = `Not sent: ${e.message}`;
        result.className = 'hint bad';
    }

    $('submit').disabled = false;
    $('text').focus();
    showCommand();
}


function showTarget() {
    const target = $('target').value;
    const whom = { mids: 'User id', keys: 'Key' }[target];

    $('who-row').hidden = whom === undefined;
    $('who').required = whom !== undefined;
    $('who-label').textContent = whom ?? '';

    if (target === 'socket') {
        $('operation').value = Op.SEND;
    } else if (Number($('operation').value) === Op.SEND) {
        $('operation').value = 1000;
    }

    showCommand();
}


function quote(text) {
    return `'${text.replaceAll('\'', '\'\\\'\'')}'`;
}


/* The line of who sends; empty while what is in the form is no mid or room. */
function ownLine(own) {
    try {
        return sendLine(own);
    } catch {
        return '';
    }
}


function showCommand() {
    const own = ownMessage();
    const text = $('text').value || 'hello';
    let command;

    if (own !== null) {
        command = 'curl -H "Authorization: Bearer $TOKEN" --data-binary '
            + `${quote(`${ownLine(own)}\n${text}`)} ${location.origin}/goim/send`;

    } else if ($('target').value === 'socket') {
        command = 'Only a connected client sends by its connection.';

    } else {
        command = `curl --data-raw ${quote(text)} `
            + `'${location.origin}${pushCall()}'`;
    }

    $('command').textContent = command;
}


/* ---- start ---- */

$('join').addEventListener('submit', (event) => {
    event.preventDefault();

    (client === null ? join() : change()).catch((e) => note(e.message));
    showCommand();
});

$('send').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
});

$('leave').addEventListener('click', () => client?.close());
$('retry').addEventListener('click', () => client?.retry());

$('clear').addEventListener('click', () => {
    $('list').replaceChildren();
    received = 0;
    following = true;
    flush();
});

$('target').addEventListener('change', showTarget);

for (const id of ['room', 'token', 'operation', 'who', 'text']) {
    $(id).addEventListener('input', showCommand);
}

/* where users log in nobody is user 0 */

if (application !== '') {
    $('mid').value = 1 + Math.floor(Math.random() * MIDS);
}

/* ?room=live://7&mid=1&key=k&accepts=1,2 fills the form, &join joins */

const given = new URLSearchParams(location.search);

for (const id of ['room', 'mid', 'key', 'accepts']) {
    if (given.has(id)) {
        $(id).value = given.get(id);
    }
}

$('log').addEventListener('scroll', onScroll);

/* what appears beside the messages takes place from them */
new ResizeObserver(follow).observe($('log'));

setInterval(showCountdown, 250);
setInterval(showTotal, TOTAL_EVERY);
document.addEventListener('visibilitychange', showTotal);

showTotal();
showTarget();

if (given.has('join')) {
    $('join').requestSubmit();
}

/*
 * The demo page: a small messenger. What comes from the network reaches the page
 * by textContent alone.
 */

import { Chats, convOf } from './chat_model.js';
import { showItems, showList, titleOf } from './chat_view.js';
import { GoimClient } from './goim.js';
import { Im } from './goim_im.js';

const STATES = {
    closed: 'Not connected',
    offline: 'Offline',
    connecting: 'Connecting…',
    auth: 'Signing in…',
    open: 'Connected',
    waiting: 'Connection lost',
    denied: 'Refused by the service',
    kicked: 'Signed out',
    replaced: 'Replaced by another window',
};

/* where one comes back only by oneself */
const OUT = new Set(['closed', 'offline', 'denied', 'kicked', 'replaced']);

const $ = (id) => document.getElementById(id);

/* the application that signs tokens; empty: they come from the form */
const application = document.querySelector('meta[name=goim-token]').content;

let client = null;
let chats = null;
let shown = null;                   /* the conversation that is looked at */
const drafts = new Map();           /* by conversation: what is written */
let following = true;               /* its newest message is kept in view */
let planned = false;                /* the page changes once for all */


/* null where the browser keeps none for this page */
function storage() {
    try {
        return sessionStorage;
    } catch {
        return null;
    }
}


function note(text) {
    $('notice').textContent = text;
    $('notice').hidden = text === '';
}


function failed(error) {
    note(error.code === 'unsupported'
        ? 'This service has no messages between people; it may have rooms.'
        : error.message);
}


/* ---- the page ---- */

function view(name) {
    document.body.dataset.view = name;
}


function setState(name) {
    document.documentElement.dataset.state = name;
    $('status-text').textContent = STATES[name];
    $('retry').hidden = name !== 'waiting';
    $('offline').textContent = OUT.has(name) ? 'Go online' : 'Go offline';
}


function plan() {
    if (!planned) {
        planned = true;
        setTimeout(draw, 0);
    }
}


function draw() {
    planned = false;

    if (chats === null) {
        return;
    }

    const chat = shown === null ? null : chats.get(shown);
    const { unread } = chats;

    document.title = unread > 0 ? `(${unread}) ngx_goim` : 'ngx_goim';
    showList($('conversations'), chats, shown, open);
    $('no-conversations').hidden = chats.list.length > 0;
    $('nothing').hidden = chat !== null;
    $('talk').hidden = chat === null;

    if (chat !== null) {
        drawTalk(chat);
    }
}


function drawTalk(chat) {
    const group = chat.conv.startsWith('g');
    const typing = chats.typing(chat.conv);

    $('talk-title').textContent = titleOf(chats.me, chat.conv);
    $('talk-about').textContent = group ? `Group of user ${
        chat.conv.slice(1).split('.')[0]}` : 'Between the two of you';
    $('members').hidden = !group || chat.gone;
    $('earlier').hidden = chat.items === null || chat.first;

    showItems($('items'), chats, chat, (id) => chats.forget(id));

    $('typing').textContent = typing.length === 0 ? ''
        : `${typing.map((mid) => `User ${mid}`).join(', ')} ${
            typing.length === 1 ? 'is' : 'are'} typing…`;
    $('text').disabled = $('send').disabled = chat.gone;
    $('text').placeholder = chat.gone ? 'You are no member any more' : 'Message';
    follow();
    read();
}


function follow() {
    const log = $('log');

    if (following) {
        log.scrollTop = log.scrollHeight;
    }
}


/* What is in view has been read. */
function read() {
    if (shown !== null && following && document.body.dataset.view === 'talk'
        && document.visibilityState === 'visible')
    {
        chats.read();
    }
}


async function open(conv) {
    drafts.set(shown, $('text').value);
    $('text').value = drafts.get(conv) ?? '';
    shown = conv;
    following = true;
    view('talk');
    fit();
    chats.begin(conv);
    draw();
    ($('text').disabled ? $('talk-title') : $('text')).focus();

    try {
        await chats.show(conv);
    } catch (e) {
        failed(e);
    }
}


function close() {
    const conv = shown;

    shown = null;
    chats.show(null);
    view('list');
    draw();

    for (const button of $('conversations').querySelectorAll('button')) {
        if (button.dataset.conv === conv) {
            button.focus();
        }
    }
}


/* The place stays where it is when something is put before it. */
async function earlier() {
    const log = $('log');
    const below = log.scrollHeight - log.scrollTop;

    following = false;

    try {
        await chats.earlier(shown);
        draw();
        log.scrollTop = log.scrollHeight - below;
    } catch (e) {
        failed(e);
    }
}


/* ---- the connection ---- */

async function askToken(mid) {
    const query = new URLSearchParams({ mid });
    const response = await fetch(`${application}?${query}`);
    const text = await response.text();

    if (!response.ok) {
        throw new Error(`no token from the application: ${text}`);
    }

    return text;
}


function tokenSource(mid) {
    if ($('token').value !== '') {
        return $('token').value;
    }

    return application === '' ? null : () => askToken(mid);
}


function signIn(mid) {
    const here = new URL('/sub', location.href);
    const store = storage();

    here.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    note('');

    /* a page that is loaded again is the same device */

    client = new GoimClient({
        url: here.href,
        nodesUrl: '/goim/nodes/weighted',
        mid,
        key: store?.getItem(`goim-key:${mid}`),
        token: tokenSource(mid),
    });

    store?.setItem('goim-mid', mid);
    store?.setItem(`goim-key:${mid}`, client.key);

    const im = new Im(client, { storage: store,
        outbox: globalThis.indexedDB ? 'indexeddb' : 'memory' });

    chats = new Chats(im);
    chats.on('change', plan);
    chats.on('error', failed);
    im.on('error', failed);
    im.on('kicked', ({ reason }) => {
        setState('kicked');
        note(`This device was signed out: ${reason}`);
    });

    client.on('state', ({ state }) => {
        setState(state);

        if (state === 'open') {
            note('');
            chats.load().catch(failed);
        }
    });

    for (const end of ['denied', 'replaced']) {
        client.on(end, (error) => {
            if (document.documentElement.dataset.state !== 'kicked') {
                setState(end);
                note(error.message);
            }
        });
    }

    $('me').textContent = im.mid;
    $('device').href = `?mid=${im.mid}&join`;
    view('list');
    draw();
    client.connect();
}


function offline() {
    if (client.state === 'closed') {
        note('');
        client.connect();
    } else {
        client.close();
        setState('offline');
    }
}


/* Everything of a user goes, but for messages that were not sent. */
function signOut() {
    client.close();
    storage()?.clear();
    location.replace(location.pathname);
}


/* ---- writing ---- */

function fit() {
    const text = $('text');

    text.rows = Math.min(6, text.value.split('\n').length);
}


function write() {
    const text = $('text').value;

    if (text.trim() === '' || shown === null) {
        return;
    }

    $('text').value = '';
    fit();
    following = true;
    chats.send(shown, text);
    $('text').focus();
}


/* ---- dialogs ---- */

/* A dialog whose form is done by `run`, and says why where it can't be. */
function dialog(name, run) {
    const box = $(`${name}-dialog`);
    const said = box.querySelector('.bad');

    $(`${name}-form`).addEventListener('submit', async (event) => {
        event.preventDefault();

        try {
            await run();
        } catch (e) {
            said.textContent = e.message;
        }
    });

    box.querySelector('[data-close]').addEventListener('click',
        () => box.close());

    return () => {
        $(`${name}-form`).reset();
        said.textContent = '';
        box.showModal();
    };
}


async function showMembers() {
    const list = await chats.members(shown);

    $('member-list').replaceChildren(...list.map(({ mid, role }) => {
        const item = document.createElement('li');

        item.textContent = `User ${mid}${role === 'member' ? '' : `, ${role}`}`;

        return item;
    }));
}


const showMessage = dialog('message', async () => {
    $('message-dialog').close();
    await open(convOf(chats.me, BigInt($('to').value).toString()));
});

const showGroup = dialog('group', async () => {
    const mids = $('mids').value.split(/[\s,]+/).filter((s) => s !== '');
    const conv = await chats.group($('name').value, mids);

    $('group-dialog').close();
    await open(conv);
});

const showGroupMembers = dialog('members', async () => {
    await chats.add(shown, $('add').value);
    $('add').value = '';
    await showMembers();
});


function notDone(error) {
    $('members-dialog').querySelector('.bad').textContent = error.message;
}


/* ---- start ---- */

$('sign-in').addEventListener('submit', (event) => {
    event.preventDefault();

    try {
        signIn(BigInt($('mid').value).toString());
    } catch (e) {
        failed(e);
    }
});

$('write').addEventListener('submit', (event) => {
    event.preventDefault();
    write();
});

$('text').addEventListener('input', () => {
    fit();
    chats.type(shown);
});

$('text').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        write();
    }
});

$('talk').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
        close();
    }
});

$('log').addEventListener('scroll', () => {
    const log = $('log');

    following = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    read();
});

$('back').addEventListener('click', close);
$('earlier').addEventListener('click', earlier);
$('new-message').addEventListener('click', showMessage);
$('new-group').addEventListener('click', showGroup);
$('offline').addEventListener('click', offline);
$('sign-out').addEventListener('click', signOut);
$('retry').addEventListener('click', () => client?.retry());

$('members').addEventListener('click', () => {
    $('member-list').replaceChildren();
    showGroupMembers();
    showMembers().catch(notDone);
});

$('leave').addEventListener('click', () => {
    chats.leave(shown).then(() => $('members-dialog').close(), notDone);
});

document.addEventListener('visibilitychange', read);

/* what appears beside the messages takes place from them */
new ResizeObserver(follow).observe($('log'));

/* ?mid=1 fills the form in, &join signs in; so does a page loaded again */

const given = new URLSearchParams(location.search);
const before = storage()?.getItem('goim-mid') ?? null;

$('mid').value = given.get('mid') ?? before ?? '';

if (given.has('join') || (before !== null && before === $('mid').value)) {
    $('sign-in').requestSubmit();
}

/*
 * How the messenger's lists look. What changed is changed, and nothing else: so
 * neither focus nor place is lost, and readers of screens hear only what is new.
 */

import { changeOf, toOf } from './chat_model.js';

const COLORS = 8;               /* of avatars, in chat.css */
const MAX_CHARS = 4000;         /* of a message that are shown */


function element(name, className, ...parts) {
    const e = document.createElement(name);

    e.className = className;
    e.append(...parts);

    return e;
}


function hidden(text) {
    return element('span', 'hidden', text);
}


/* "User 2", or a group's name */
export function titleOf(me, conv) {
    const to = toOf(me, conv);

    if (to === me) {
        return 'Notes to yourself';
    }

    return conv.startsWith('g') ? to.slice(to.indexOf('.') + 1) : `User ${to}`;
}


function timeOf(at) {
    const date = new Date(at);
    const today = date.toDateString() === new Date().toDateString();
    const text = today
        ? date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
        : date.toLocaleDateString([], { day: 'numeric', month: 'short' });
    const e = element('time', '', text);

    e.dateTime = date.toISOString();

    return e;
}


function avatar(name) {
    const [first] = name.replace(/^User /, '');
    let sum = 0;

    for (const char of name) {
        sum = (sum * 31 + char.codePointAt(0)) % 65521;
    }

    const e = element('span', 'avatar', name.startsWith('User ')
        ? name.slice(-2).trim() : first.toUpperCase());

    e.dataset.color = sum % COLORS;
    e.setAttribute('aria-hidden', 'true');

    return e;
}


function textOf(item) {
    const text = item.text();

    return text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}…` : text;
}


/* A change of a group in words. */
function wordsOf(item, change) {
    const who = `User ${item.mid}`;
    const whom = (change.mids ?? []).map((mid) => `user ${mid}`).join(', ');
    const member = `user ${change.member ?? change.mids?.[0] ?? ''}`;

    switch (item.kind) {
    case 'create': return `${who} made the group`;
    case 'add': return `${who} added ${whom}`;
    case 'remove': return String(change.mids) === item.mid ? `${who} left`
        : `${who} removed ${whom}`;
    case 'join': return `${who} joined`;
    case 'ask': return `${who} asks to join`;
    case 'answer': return `${who} answered ${member}`;
    case 'member': return `${who} changed what ${member} may`;
    case 'dismiss': return `${who} dismissed the group`;
    default: return `${who} changed the group`;
    }
}


/* Make the children of `list` those of `wanted`: [key, state, make()]. */
function reconcile(list, wanted) {
    const old = new Map([...list.children].map((e) => [e.dataset.key, e]));
    let place = list.firstElementChild;

    for (const [key, state, make] of wanted) {
        let e = old.get(key);

        if (e?.dataset.state !== state) {
            const made = make();

            made.dataset.key = key;
            made.dataset.state = state;

            if (e !== undefined) {
                place = place === e ? made : place;
                e.replaceWith(made);
            }

            e = made;
        }

        old.delete(key);

        if (e === place) {
            place = place.nextElementSibling;
        } else {
            list.insertBefore(e, place);
        }
    }

    old.forEach((e) => e.remove());
}


/* ---- the list ---- */

function lineOf(chats, chat) {
    const { last } = chat;
    const [waiting] = chats.outgoing(chat.conv).slice(-1);

    if (waiting !== undefined) {
        return `You: ${textOf(waiting)}`;
    }

    if (last === null) {
        return 'No messages yet';
    }

    const change = changeOf(last);

    if (change !== null) {
        return wordsOf(last, change);
    }

    const who = last.mid === chats.me ? 'You: '
        : chat.conv.startsWith('g') ? `${last.mid}: ` : '';

    return who + textOf(last).slice(0, 200);
}


function row(chats, chat, open) {
    const title = titleOf(chats.me, chat.conv);
    const button = element('button', 'row', avatar(title),
        element('span', 'title', title), chat.at > 0 ? timeOf(chat.at) : '',
        element('span', 'last', lineOf(chats, chat)));

    if (chat.unread > 0) {
        button.append(element('span', 'unread', String(chat.unread),
            hidden(' unread')));
    }

    button.type = 'button';
    button.dataset.conv = chat.conv;
    button.addEventListener('click', () => open(chat.conv));

    return element('li', '', button);
}


export function showList(list, chats, shown, open) {
    const focused = document.activeElement?.dataset.conv;

    reconcile(list, chats.list.map((chat) => [chat.conv,
        `${chat.unread} ${chat.at} ${lineOf(chats, chat)}`,
        () => row(chats, chat, open)]));

    for (const button of list.querySelectorAll('button')) {
        if (button.dataset.conv === shown) {
            button.setAttribute('aria-current', 'true');
        } else {
            button.removeAttribute('aria-current');
        }

        if (button.dataset.conv === focused) {
            button.focus();
        }
    }
}


/* ---- a conversation ---- */

function bubble(chats, chat, item, ...about) {
    const own = item.mid === chats.me;
    const li = element('li', own ? 'own' : 'other');

    if (!own && chat.conv.startsWith('g')) {
        li.append(avatar(`User ${item.mid}`),
            element('span', 'name', `User ${item.mid}`));
    } else {
        li.append(hidden(own ? 'You: ' : `User ${item.mid}: `));
    }

    li.append(element('p', 'body', textOf(item)),
        element('p', 'about', timeOf(item.at), ...about));

    return li;
}


function outgoing(chats, chat, message, forget) {
    const words = { waiting: 'waiting…', sent: '', refused:
        `not sent: ${message.reason}` };
    const li = bubble(chats, chat, message,
        element('span', '', words[message.state]));

    li.classList.add(message.state);

    if (message.state === 'refused') {
        const button = element('button', 'small quiet', 'Remove');

        button.type = 'button';
        button.addEventListener('click', () => forget(message.id));
        li.append(button);
    }

    return li;
}


function dayOf(at) {
    return new Date(at).toLocaleDateString([],
        { weekday: 'long', day: 'numeric', month: 'long' });
}


export function showItems(list, chats, chat, forget) {
    const wanted = [];
    let day = '';

    for (const item of chat.items ?? []) {
        const change = changeOf(item);
        const at = dayOf(item.at);

        if (at !== day) {
            day = at;
            wanted.push([`day ${at}`, '', () => element('li', 'day', at)]);
        }

        wanted.push([`${chat.conv} ${item.seq}`, '', () => (change === null
            ? bubble(chats, chat, item)
            : element('li', 'change', wordsOf(item, change)))]);
    }

    for (const message of chats.outgoing(chat.conv)) {
        wanted.push([message.id, message.state,
            () => outgoing(chats, chat, message, forget)]);
    }

    reconcile(list, wanted);
}

/*
 * Messages that wait for their answer, in memory, or in the browser's database,
 * where they outlive the page.
 */

import { GoimError } from './goim_packet.js';

const MAX_KEPT = 1000;          /* messages */
const NAME = 'goim';            /* of the database, and */
const STORE = 'outbox';         /* ... of what it has */


/* The promise of a request to the database. */
function done(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}


/* The same for a whole transaction: it is on the disk then. */
function committed(transaction) {
    return new Promise((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
    });
}


/* Memory: nothing to do but to be there. */
class Memory {
    async all() { return []; }
    async put() {}
    async remove() {}
}


class Database {
    #mid;
    #open;


    constructor(mid) {
        const request = indexedDB.open(NAME, 1);

        request.onupgradeneeded = () => request.result.createObjectStore(STORE,
            { keyPath: ['mid', 'id'] });

        this.#mid = mid;
        this.#open = done(request);
        this.#open.catch(() => {});     /* who uses it is told */
    }


    async #run(step) {
        const transaction = (await this.#open).transaction(STORE, 'readwrite',
            { durability: 'strict' });
        const end = committed(transaction);
        const result = step(transaction.objectStore(STORE));

        await end;

        return result?.result;
    }


    /* What this user's page left behind, the oldest first. */
    async all() {
        const range = IDBKeyRange.bound([this.#mid], [this.#mid, []]);
        const list = await this.#run((store) => store.getAll(range));

        return list.sort((a, b) => a.made - b.made);
    }


    put(message) {
        return this.#run((store) => store.put({ ...message, mid: this.#mid }));
    }


    remove({ id }) {
        return this.#run((store) => store.delete([this.#mid, id]));
    }
}


export class Outbox {
    #kept;
    #send;
    #tell;
    #report;
    #messages = new Set();      /* without an answer */
    #lines = new Map();         /* by destination: entries, in order */
    #last = 0;                  /* when the last one was made */

    ready;                      /* a promise: what was kept is here */


    /*
     * send(message) resolves when it is answered, and is not called again then;
     * tell(type, detail) hears of it: sent, refused; report(error) of a
     * database that fails.
     */
    constructor({ kept, mid, send, tell, report }) {
        if (kept !== 'memory' && kept !== 'indexeddb') {
            throw new GoimError('argument', 'outbox: memory or indexeddb');
        }

        this.#kept = kept === 'memory' ? new Memory() : new Database(mid);
        this.#send = send;
        this.#tell = tell;
        this.#report = report;
        this.ready = this.#load();
    }


    /* { to, id, kind, body }: the promise of its answer */
    async add(message) {
        if (this.#messages.size >= MAX_KEPT) {
            throw new GoimError('busy', 'too many messages wait');
        }

        this.#last = Math.max(this.#last + 1, Date.now());

        const made = { ...message, made: this.#last };

        this.#messages.add(made);
        await this.ready;
        await this.#stored(() => this.#kept.put(made));

        return this.#queue(made);
    }


    /* Those without an answer, the oldest first. */
    get waiting() {
        return [...this.#messages].sort((a, b) => a.made - b.made);
    }


    async #load() {
        await this.#stored(async () => {
            for (const message of await this.#kept.all()) {
                this.#messages.add(message);
                this.#queue(message).catch(() => {});
            }
        });
    }


    /* A message that can't be stored is sent all the same. */
    async #stored(step) {
        try {
            await step();
        } catch (e) {
            this.#report(new GoimError('storage',
                `messages are not kept: ${e.message}`, { cause: e }));
        }
    }


    #queue(message) {
        const line = this.#lines.get(message.to);

        return new Promise((resolve, reject) => {
            const entry = { message, resolve, reject };

            if (line !== undefined) {
                line.push(entry);
                return;
            }

            this.#lines.set(message.to, [entry]);
            this.#run(message.to);
        });
    }


    /* One after the other: so each stands behind the one before. */
    async #run(to) {
        const line = this.#lines.get(to);

        while (line.length > 0) {
            const { message, resolve, reject } = line[0];
            let answer = null, error = null;

            try {
                answer = await this.#send(message);
            } catch (e) {
                error = e;
            }

            await this.#stored(() => this.#kept.remove(message));
            line.shift();
            this.#messages.delete(message);

            if (line.length === 0) {
                this.#lines.delete(to);
            }

            if (error === null) {
                resolve(answer);
                this.#tell('sent', { ...message, ...answer });
            } else {
                reject(error);
                this.#tell('refused', { ...message, error });
            }
        }
    }
}

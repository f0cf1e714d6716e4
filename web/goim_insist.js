/*
 * What is asked until there is an answer: again with the next connection, and
 * after a while where the service can't do it now.
 */

import { ended, passes } from './goim_send.js';

const LONGEST = 30000;          /* milliseconds between two attempts */


export class Insist {
    #client;
    #first;
    #opened = null;             /* the promise of the next connection */


    /* first: milliseconds until the second attempt */
    constructor(client, first) {
        this.#client = client;
        this.#first = first;
    }


    /* What `step` resolves or, for good, rejects with. */
    async until(step) {
        for (let n = 0; ; n++) {
            await this.#open();

            try {
                return await step();

            } catch (e) {
                if (ended(e)) {
                    continue;       /* the next connection is a new attempt */
                }

                if (!passes(e)) {
                    throw e;
                }

                await this.#pause(n, e.after);
            }
        }
    }


    #open() {
        if (this.#client.state === 'open') {
            return undefined;
        }

        this.#opened ??= new Promise((resolve) => {
            const off = this.#client.on('state', ({ state }) => {
                if (state === 'open') {
                    off();
                    this.#opened = null;
                    resolve();
                }
            });
        });

        return this.#opened;
    }


    #pause(n, after) {
        const most = Math.min(this.#first * 2 ** n, LONGEST);
        const wait = after ?? most * (0.5 + Math.random() / 2);

        return new Promise((resolve) => { setTimeout(resolve, wait); });
    }
}

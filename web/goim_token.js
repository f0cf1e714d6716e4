/*
 * The application's token: what it is now, and a new one before it ends.
 */

const RETRY = 10000;            /* milliseconds, after a renewal that failed */


export class Token {
    #source;                    /* the token, or a function that gets one */
    #renew;
    #report;

    #run = 0;                   /* tells a renewal from those before stop() */
    #timer = null;


    /* renew(token) shows the server a new one; report(error): it failed */
    constructor(source, renew, report) {
        this.#source = source;
        this.#renew = renew;
        this.#report = report;
    }


    /* Whether there may be another one than now. */
    get changes() { return typeof this.#source === 'function'; }


    async get() {
        return this.changes ? this.#source() : this.#source;
    }


    /* The server says that ours ends in so many seconds. */
    ends(seconds) {
        this.stop();

        if (this.changes) {
            this.#try(this.#run, performance.now() + seconds * 1000);
        }
    }


    /* That was another connection. */
    stop() {
        this.#run++;
        clearTimeout(this.#timer);
    }


    async #try(run, end) {
        try {
            const token = await this.get();

            if (run === this.#run) {
                await this.#renew(token);
            }

        } catch (e) {
            if (run !== this.#run) {
                return;
            }

            this.#report(e);

            if (run === this.#run && performance.now() + RETRY < end) {
                this.#timer = setTimeout(() => this.#try(run, end), RETRY);
            }
        }
    }
}

/*
 * When to beat, and when a connection is dead. Times are in milliseconds.
 */

export class Heartbeat {
    #timeout;
    #interval;
    #send;
    #dead;

    #timer = null;
    #sent = 0;              /* when, if it is not answered yet, or 0 */
    #due = 0;
    #late = false;          /* it was given time once more */
    #heard = 0;             /* when anything came */


    /* interval() tells how often, send() sends one, dead(): no answer came */
    constructor({ timeout, interval, send, dead }) {
        this.#timeout = timeout;
        this.#interval = interval;
        this.#send = send;
        this.#dead = dead;
    }


    /* Send one now, unless one is on its way. */
    beat() {
        if (this.#sent !== 0) {
            return;
        }

        this.#sent = performance.now();
        this.#late = false;
        this.#arm(this.#timeout);
        this.#send();
    }


    answered() {
        this.#sent = 0;
        this.#arm(this.#interval());
    }


    /* Anything came. */
    heard() {
        this.#heard = performance.now();
    }


    stop() {
        this.#sent = 0;
        clearTimeout(this.#timer);
    }


    #arm(delay) {
        clearTimeout(this.#timer);
        this.#due = performance.now() + delay;
        this.#timer = setTimeout(() => this.#time(), delay);
    }


    #time() {
        const now = performance.now();
        const timeout = this.#timeout;

        if (this.#sent === 0) {
            this.beat();
            return;
        }

        /*
         * A timer long overdue: the machine slept, and the answer may be what
         * is read next. Or the answer stands behind much that still comes.
         */

        if (now - this.#due > timeout && !this.#late) {
            this.#late = true;
            this.#sent = now;
            this.#arm(timeout);
            return;
        }

        if (now - this.#heard < timeout && now - this.#sent < 3 * timeout) {
            this.#arm(timeout);
            return;
        }

        this.#dead();
    }
}

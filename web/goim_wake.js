/*
 * The browser's network and window: when something may be worth a try.
 */

export class Wake {
    #handler;


    /* woken(offline): something changed; the network went, or it came back */
    constructor(woken) {
        this.#handler = ({ type }) => {
            if (type === 'visibilitychange'
                && globalThis.document?.visibilityState === 'hidden')
            {
                return;
            }

            woken(type === 'offline');
        };
    }


    watch(on) {
        const how = on ? 'addEventListener' : 'removeEventListener';

        globalThis[how]?.('online', this.#handler);
        globalThis[how]?.('offline', this.#handler);
        globalThis.document?.[how]('visibilitychange', this.#handler);
    }
}

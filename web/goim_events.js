/*
 * Events whose listeners may take their time: an event waits for their promises.
 */

export class Events extends EventTarget {
    /*
     * Call `listener` with the event's detail; returns what undoes it. Who
     * recovers waits for its promise before the position moves.
     */
    on(type, listener) {
        const handler = (event) => {
            const result = listener(event.detail);

            event.waitUntil?.(result);
        };

        this.addEventListener(type, handler);

        return () => this.removeEventListener(type, handler);
    }
}


/* Tell all listeners; the promises that they returned. */
export function hand(target, type, detail) {
    const event = new CustomEvent(type, { detail });
    const promises = [];

    event.waitUntil = (result) => {
        if (typeof result?.then === 'function') {
            promises.push(result);
        }
    };

    target.dispatchEvent(event);

    return promises;
}

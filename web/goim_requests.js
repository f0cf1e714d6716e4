/*
 * Requests of a connection and their answers, found by their number.
 */

import { GoimError, Op } from './goim_packet.js';

/* operations whose answer is another operation; all others answer as asked */
const ANSWER = new Map([
    [Op.HEARTBEAT, Op.HEARTBEAT_REPLY], [Op.SEND, Op.SEND_REPLY],
    [Op.CHANGE_ROOM, Op.CHANGE_ROOM_REPLY], [Op.SUB, Op.SUB_REPLY],
    [Op.UNSUB, Op.UNSUB_REPLY], [Op.AUTH, Op.AUTH_REPLY],
    [Op.COMMAND, Op.COMMAND_REPLY],
]);

const OWN = new Set([Op.AUTH, Op.COMMAND]);

const MAX_PENDING = 1000;           /* requests without an answer */
const MAX_SEQUENCE = 0x7fffffff;


/* What a promise is rejected with when this was the answer. */
export function refused({ refusal }, reason) {
    const error = new GoimError('refused', refusal?.reason ?? reason,
        { cause: refusal });

    error.status = refusal?.code ?? null;

    return error;
}


export class Requests {
    #timeout;               /* milliseconds */
    #sequence = 0;
    #pending = new Map();


    constructor(timeout) {
        this.#timeout = timeout;
    }


    get full() { return this.#pending.size >= MAX_PENDING; }


    nextSequence() {
        this.#sequence = this.#sequence % MAX_SEQUENCE + 1;

        return this.#sequence;
    }


    /* A promise of the answer to a request that is sent with this number. */
    expect(operation, sequence) {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
                this.#pending.delete(sequence);
                reject(new GoimError('timeout',
                    `no answer to operation ${operation}`));
            }, this.#timeout);

            this.#pending.set(sequence, {
                operation, answer: ANSWER.get(operation) ?? operation,
                refusal: null, resolve, reject, timer,
            });
        });
    }


    /* Why a request is refused; its answer comes next. */
    refused(word) {
        const request = this.#pending.get(word.seq);

        if (request?.operation === word.operation) {
            request.refusal = word;
        }
    }


    /*
     * Whether the packet was an answer. That of an auth that is refused, and of
     * a command where there are none, is its own operation.
     */
    answered(packet) {
        const request = this.#pending.get(packet.sequence);
        const refused = OWN.has(packet.operation)
            && request?.operation === packet.operation;

        if (request?.answer !== packet.operation && !refused) {
            return false;
        }

        this.#pending.delete(packet.sequence);
        clearTimeout(request.timer);

        if (request.refusal !== null) {
            packet.refusal = request.refusal;
        }

        request.resolve(packet);

        return true;
    }


    /* There will be no answers any more. */
    reject(error) {
        const pending = [...this.#pending.values()];

        this.#pending.clear();

        for (const request of pending) {
            clearTimeout(request.timer);
            request.reject(error);
        }
    }
}

/*
 * What the tests in this folder are written with.
 */

import { GoimError } from '/goim.js';

const tests = [];


export function test(name, run) {
    tests.push({ name, run });
}


export function is(got, expected, what = 'value') {
    const a = JSON.stringify(got);
    const b = JSON.stringify(expected);

    if (a !== b) {
        throw new Error(`${what} is ${a}, not ${b}`);
    }
}


export function ok(value, what) {
    if (!value) {
        throw new Error(what);
    }
}


export function fails(run, code) {
    let error = null;

    try {
        run();
    } catch (e) {
        error = e;
    }

    ok(error instanceof GoimError, `no GoimError but ${error}`);
    is(error.code, code, 'code');
}


export async function rejects(promise, code) {
    const error = await promise.then(() => null, (e) => e);

    ok(error instanceof GoimError, `no GoimError but ${error}`);
    is(error.code, code, 'code');
}


export function bytes(...list) {
    return new Uint8Array(list);
}


export function concat(...parts) {
    return bytes(...parts.flatMap((p) => [...p]));
}


/*
 * Run them all: each result is an item of #results, "ok - name" or "not ok -
 * name: why"; #plan says how many there are when all is done.
 */
export async function runAll() {
    for (const { name, run } of tests) {
        const item = document.createElement('li');

        try {
            await run();
            item.textContent = `ok - ${name}`;
        } catch (e) {
            item.textContent = `not ok - ${name}: ${e.message}`;
        }

        document.getElementById('results').append(item);
    }

    document.getElementById('plan').textContent = `1..${tests.length}`;
}
